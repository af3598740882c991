package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/switch/tap"
)

// Set by the linker.
var (
	version = "dev"
	commit  = "unknown"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what the data path finds on this machine",
		RunE: func(cmd *cobra.Command, _ []string) error {
			printVersion(cmd.OutOrStdout())
			return nil
		},
	}
}

func printVersion(w io.Writer) {
	fmt.Fprintf(w, "uvtep %s\ncommit   %s\ngo       %s %s/%s\nkernel   %s\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel())
	t, err := tap.Probe()
	feature(w, "tap", err == nil, errText(err))
	feature(w, "multi_queue", t.MultiQueue, t.Reason["multi_queue"])
	feature(w, "vnet_hdr", t.VnetHdr, t.Reason["vnet_hdr"])
	u, err := underlay.Probe()
	feature(w, "udp", err == nil, errText(err))
	feature(w, "udp_segment", u.UDPSegment, u.Reason["udp_segment"])
	feature(w, "udp_gro", u.UDPGRO, u.Reason["udp_gro"])
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(release))
}

// feature prints one line: the name, whether it is there, and if not why.
func feature(w io.Writer, name string, there bool, reason string) {
	switch {
	case there:
		fmt.Fprintf(w, "  %-12s yes\n", name)
	case reason == "":
		fmt.Fprintf(w, "  %-12s no\n", name)
	default:
		fmt.Fprintf(w, "  %-12s no: %s\n", name, reason)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
