package vswitch

import (
	"strings"
	"testing"
)

func TestEveryVerdictHasAReasonAndAName(t *testing.T) {
	for _, v := range Verdicts() {
		if v.Reason() == "" {
			t.Errorf("%v has no reason", v)
		}
		if got, ok := VerdictNamed(v.String()); !ok || got != v {
			t.Errorf("the verdict named %q is %v, %t", v, got, ok)
		}
		if want := strings.HasPrefix(v.String(), "Drop"); v.Drop() != want {
			t.Errorf("%v is a drop: got %t", v, v.Drop())
		}
	}
	if _, ok := VerdictNamed("Drop"); ok || numVerdicts.Reason() != "" {
		t.Error("a verdict that there is not has a name or a reason")
	}
}
