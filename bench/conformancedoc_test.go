package bench

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The page has a line for each number, and names no test that is not there.
func TestConformancePageIsWholeAndNamesTestsThatExist(t *testing.T) {
	b, err := os.ReadFile("../docs/conformance.md")
	must(t, err)
	page := string(b)
	for n := 1; n <= 64; n++ {
		if strings.Count(page, fmt.Sprintf("\n| %d | ", n)) != 1 {
			t.Errorf("line %d: want it once", n)
		}
	}
	grep := exec.Command("grep", "-rhoE", `^func Test\w+`, "--include=*_test.go", "..")
	out, err := grep.Output()
	must(t, err)
	for _, name := range regexp.MustCompile(`Test[A-Z]\w+`).FindAllString(page, -1) {
		if !strings.Contains(string(out), "func "+name) {
			t.Errorf("there is no %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`\b(?:bench|etcdsync|encap)/[\w/]+_test\.go`).FindAllString(page, -1) {
		if _, err := os.Stat("../" + name); err != nil {
			t.Error(err)
		}
	}
}
