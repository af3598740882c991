//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// Counters are the kernel's counters of one namespace under the names that nstat
// gives them: "TcpRetransSegs", "TcpExtTCPOFOQueue", "Udp6InErrors".
type Counters map[string]int64

// Counters reads them.
func (n *Node) Counters() (Counters, error) {
	c := Counters{}
	err := n.Do(func() error {
		for file, parse := range map[string]func([]byte) error{"snmp": c.pairs, "netstat": c.pairs, "snmp6": c.single} {
			b, err := os.ReadFile("/proc/thread-self/net/" + file)
			if os.IsNotExist(err) && file == "snmp6" {
				continue // a kernel without IPv6
			}
			if err != nil {
				return err
			}
			if err := parse(b); err != nil {
				return fmt.Errorf("/proc/net/%s: %w", file, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counters of %s: %w", n.Name, err)
	}
	return c, nil
}

// pairs reads lines that come in pairs: the names, then the numbers, both behind
// the name of the group.
func (c Counters) pairs(b []byte) error {
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		names := strings.Fields(lines.Text())
		lines.Scan()
		numbers := strings.Fields(lines.Text())
		if len(names) != len(numbers) || len(names) == 0 || names[0] != numbers[0] {
			return fmt.Errorf("%q does not fit %q", numbers, names)
		}
		group := strings.TrimSuffix(names[0], ":")
		for i, name := range names[1:] {
			if err := c.set(group+name, numbers[i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// single reads lines of a name and a number.
func (c Counters) single(b []byte) error {
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 2 {
			return fmt.Errorf("%q: want a name and a number", lines.Text())
		}
		if err := c.set(f[0], f[1]); err != nil {
			return err
		}
	}
	return nil
}

func (c Counters) set(name, number string) error {
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c[name] = v
	return nil
}

// Since returns by how much each counter has changed; those that have not are
// left out.
func (c Counters) Since(before Counters) Counters {
	out := Counters{}
	for name, v := range c {
		if d := v - before[name]; d != 0 {
			out[name] = d
		}
	}
	return out
}

// Only returns the counters of these names, as far as there are such.
func (c Counters) Only(names ...string) Counters {
	out := maps.Clone(c)
	maps.DeleteFunc(out, func(name string, _ int64) bool { return !slices.Contains(names, name) })
	return out
}

// Dropped is what a device has thrown away since it was made.
type Dropped struct {
	In    int64 // between the device and the stack
	Out   int64 // by the device itself, when the stack gave it a frame
	Queue int64 // by the queueing discipline in front of it
}

// Dropped reads the counters of a device.
func (n *Node) Dropped(dev string) (d Dropped, err error) {
	l, err := n.find(dev)
	if err != nil {
		return d, err
	}
	if s := l.Attrs().Statistics; s != nil {
		d.In, d.Out = int64(s.RxDropped), int64(s.TxDropped)
	}
	qdiscs, err := n.nl.QdiscList(l)
	if err != nil {
		return d, fmt.Errorf("list queueing disciplines of %q in %s: %w", dev, n.Name, err)
	}
	for _, q := range qdiscs {
		// That of a device with many queues sums up its children.
		if a := q.Attrs(); a.Parent == netlink.HANDLE_ROOT && a.Statistics != nil && a.Statistics.Queue != nil {
			d.Queue += int64(a.Statistics.Queue.Drops)
		}
	}
	return d, nil
}

// UnderlayDropped reads the counters of both ends of the wire that the host hangs
// on: of eth0, and of the fabric's port, whose Out is what the host did not get.
func (h *Host) UnderlayDropped() (own, port Dropped, err error) {
	own, err = h.Dropped(hostDev)
	port, failed := h.lab.fabric.Dropped(h.Name)
	return own, port, errors.Join(err, failed)
}
