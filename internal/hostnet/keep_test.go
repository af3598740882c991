package hostnet

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestKeepPutsTheFileBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		early bool // before Keep watches again
		hurt  func(path string) error
	}{
		{"the file is removed", false, os.Remove},
		{"the file is removed at once", true, os.Remove},
		{"the file is moved away", false, func(path string) error { return os.Rename(path, path+".bak") }},
		{"the folder is moved away", false, func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".bak") }},
		{"the folder is removed at once", true, func(path string) error { return os.RemoveAll(filepath.Dir(path)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			path := filepath.Join(t.TempDir(), "flannel", "subnet.env")
			env := lease("10.10.238.0/24", 1410)
			ctx, cancel := context.WithCancel(t.Context())
			written, done := make(chan int), make(chan error)
			n := 0
			go func() {
				done <- env.Keep(ctx, path, func() {
					if got, err := ReadSubnetEnv(path); err != nil || got != env {
						t.Errorf("got %+v, %v, want %+v", got, err, env)
					}
					if n++; c.early && n < 3 && c.hurt(path) != nil {
						t.Error("cannot hurt the file")
					}
					written <- n
				})
			}()
			for n := range written {
				if n == 3 {
					break
				}
				_ = os.RemoveAll(filepath.Dir(path) + ".bak")
				if !c.early && c.hurt(path) != nil {
					t.Error("cannot hurt the file")
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("got %v, want nil: it was cancelled", err)
			}
			if _, err := ReadSubnetEnv(path); err != nil {
				t.Errorf("afterwards: %v, want the file to stay", err)
			}
		})
	}
}

func TestKeepSaysThatTheFileCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := lease("10.10.238.0/24", 1410).Keep(t.Context(), filepath.Join(file, "subnet.env"), nil)
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error with the path", err)
	}
}
