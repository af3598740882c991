//go:build linux

package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// BuildFlannel builds the flannel peer from its module in dir, and returns the
// program's path. As with BuildEtcd it takes the go command and its module cache,
// and is built once.
func BuildFlannel(ctx context.Context, dir string) (string, error) {
	sum := sha256.New()
	sum.Write([]byte(runtime.Version()))
	for _, name := range []string{"main.go", "go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		sum.Write(b)
	}
	return buildOnce(ctx, "flannel-"+hex.EncodeToString(sum.Sum(nil)[:8]), "flannel", "-C", dir, ".")
}

// StartFlannel runs flannel in the place of uvtep on a host, with an interface of
// the underlay, and returns when it has written its subnet file and runs. Subnet
// and MTU are known then.
func (h *Host) StartFlannel(ctx context.Context, bin string) error {
	p, err := h.Start(bin, "-etcd-endpoints", strings.Join(h.lab.EtcdURLs(), ","), "-subnet-file", h.SubnetFile, "-iface", hostDev)
	if err != nil {
		return err
	}
	h.Agent = p
	if err := p.WaitOutput(ctx, "flannel: running"); err != nil {
		return err
	}
	return h.readSubnetFile()
}
