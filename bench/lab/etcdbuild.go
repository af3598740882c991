//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// etcdModule is the module of the etcd server; its root is the program.
const etcdModule = "go.etcd.io/etcd/server/v3"

// BuildEtcd builds the etcd program from its module, at the version that the
// module of the working folder requires, and returns its path. It takes the go
// command and the module cache (or the proxy that fills it), and nothing else.
// The program is kept below os.UserCacheDir, one a version, so that it is built
// once; builds at the same time do not disturb each other.
func BuildEtcd(ctx context.Context) (string, error) {
	version, err := goCommand(ctx, "list", "-m", "-f", "{{.Version}}", etcdModule)
	if err != nil {
		return "", err
	}
	return buildOnce(ctx, "etcd-"+version+"-"+runtime.Version(), "etcd", etcdModule)
}

// buildOnce builds a program of that name unless it is below os.UserCacheDir
// already, in a folder of that key. args are a package, perhaps after -C and a
// folder.
func buildOnce(ctx context.Context, key, name string, args ...string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "uvtep", key)
	bin := filepath.Join(dir, name)
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	built := filepath.Join(tmp, name)
	var where []string
	if args[0] == "-C" { // it must come first
		where, args = args[:2], args[2:]
	}
	args = slices.Concat([]string{"build"}, where, []string{"-trimpath", "-buildvcs=false", "-o", built}, args)
	if _, err := goCommand(ctx, args...); err != nil {
		return "", err
	}
	return bin, os.Rename(built, bin)
}

// goCommand runs the go command in the working folder and returns what it says.
func goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return strings.TrimSpace(string(out)), nil
}
