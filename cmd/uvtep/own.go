package main

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/uvtep/uvtep/encap/ether"
)

// ownFlag is a flag of which each network has a value of its own: a value where
// there is one network, else NAME=VALUE, repeated or comma separated.
type ownFlag struct {
	one string
	of  map[string]string // by name
}

// Set takes one argument. It is pflag's.
func (o *ownFlag) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		name, value, named := strings.Cut(part, "=")
		if !named {
			o.one = part
			continue
		}
		if o.of == nil {
			o.of = make(map[string]string)
		}
		o.of[name] = value
	}
	return nil
}

func (o *ownFlag) String() string {
	var parts []string
	if o.one != "" {
		parts = append(parts, o.one)
	}
	for _, name := range slices.Sorted(maps.Keys(o.of)) {
		parts = append(parts, name+"="+o.of[name])
	}
	return strings.Join(parts, ",")
}

// Type is what help calls the value.
func (o *ownFlag) Type() string { return "string" }

// value is that of the network of a name.
func (o *ownFlag) value(name string) string {
	if v, ok := o.of[name]; ok {
		return v
	}
	return o.one
}

// check says what is wrong with the names of networks, given which there are.
func (o *ownFlag) check(flag string, names []string) error {
	var errs []error
	if o.one != "" && len(names) > 1 {
		errs = append(errs, fmt.Errorf("--%s %s is for one network, and there are %d: say --%s NAME=%s", flag, o.one, len(names), flag, o.one))
	}
	for _, name := range slices.Sorted(maps.Keys(o.of)) {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("--%s %s=%s: no network of this name is joined; give --network-name %s too", flag, name, o.of[name], name))
		}
	}
	return errors.Join(errs...)
}

// ownFlags are those flags.
type ownFlags struct{ subnet, tap, mac, bridge ownFlag }

func (o *ownFlags) register(f *pflag.FlagSet) {
	const each = "; with several networks NAME=VALUE for each"
	f.Var(&o.subnet, "subnet", "ask for exactly this subnet instead of any free one"+each)
	f.Var(&o.tap, "tap", "name of the TAP (default uvtep.<VNI>)"+each)
	f.Var(&o.mac, "mac", "MAC of the TAP and the VTEP (default one derived from the node id and the VNI)"+each)
	f.Var(&o.bridge, "bridge", "enslave the TAP to this bridge, created if absent"+each)
}

// own is what they say of one network.
type own struct {
	want        netip.Prefix // the subnet
	hwaddr      ether.Addr
	tap, bridge string
}

// parse reads what the flags say of each network, and reports all faults.
func (o *ownFlags) parse(names []string) (map[string]own, error) {
	errs := []error{o.subnet.check("subnet", names), o.tap.check("tap", names), o.mac.check("mac", names), o.bridge.check("bridge", names)}
	all := make(map[string]own)
	if len(names) == 0 {
		names = []string{""}
	}
	taken := make(map[string]bool)
	for _, name := range names {
		n, err := o.parseOne(name)
		all[name] = n
		errs = append(errs, err)
		for _, device := range []string{n.tap, n.bridge} {
			if device != "" && taken[device] {
				errs = append(errs, fmt.Errorf("--tap or --bridge %s is given twice: networks that share a device would be one", device))
			}
			taken[device] = true
		}
	}
	return all, errors.Join(errs...)
}

func (o *ownFlags) parseOne(name string) (n own, err error) {
	var errs []error
	fault := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if s := o.subnet.value(name); s != "" {
		if n.want, err = netip.ParsePrefix(s); err != nil || n.want != n.want.Masked() {
			fault("--subnet %q: want a subnet such as 10.10.3.0/24", s)
		}
	}
	if s := o.mac.value(name); s != "" {
		if n.hwaddr, err = ether.ParseAddr(s); err != nil || n.hwaddr.IsMulticast() || n.hwaddr.IsZero() {
			fault("--mac %q: want a unicast MAC such as 02:00:5e:10:00:01", s)
		}
	}
	n.tap, n.bridge = o.tap.value(name), o.bridge.value(name)
	for _, d := range []struct{ flag, name string }{{"tap", n.tap}, {"bridge", n.bridge}} {
		if len(d.name) > 15 || strings.ContainsAny(d.name, "/ \t%") {
			fault("--%s %q: want an interface name of at most 15 bytes", d.flag, d.name)
		}
	}
	return n, errors.Join(errs...)
}
