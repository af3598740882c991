package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	vswitch "github.com/uvtep/uvtep/switch"
)

// ofNote are the drops of the last seconds that somebody should look at, and
// where to look. Others are what a network that does not flood always has.
var ofNote = []struct {
	verdict vswitch.Verdict
	advice  string
}{
	{vswitch.DropUnknownUnicast, "frames for a station that etcd does not know; `uvtep fdb get MAC` tells of one"},
	{vswitch.DropTooBig, "frames larger than the path takes; senders are told, see narrow_path in `uvtep link`"},
	{vswitch.DropFloodRate, "more is flooded than --flood-rate allows; look for a loop behind the bridge, or raise it"},
	{vswitch.DropOffload, "the kernel's virtio headers do not fit its frames; `uvtep link set offload off` avoids them"},
	{vswitch.DropNoVNI, "datagrams without a VNI; is another tunnel (GPE) sent to this port?"},
	{vswitch.DropReserved, "datagrams with reserved bits set, which the network's StrictReserved refuses"},
	{vswitch.DropForeignVNI, "datagrams of another VNI; compare `uvtep network show` with the sender's"},
	{vswitch.DropUnknownVTEP, "datagrams from hosts that etcd does not know; `uvtep subnets` tells who is known"},
	{vswitch.DropSpoofed, "a host sends what etcd says is another's; `uvtep subnets` and `uvtep endpoints list` tell whose"},
	{vswitch.DropSourceIP, "a host sends from inner addresses that are not its own, which --strict-source refuses"},
	{vswitch.DropOwnSource, "this host's own MAC address comes from the tunnel: a loop, or a copy of this host"},
	{vswitch.DropTagged, "inner VLAN tags, which the network does not carry; InnerVLAN: pass in its configuration does"},
	{vswitch.DropECN, "congestion that cannot be told to the inner flow (RFC 6040)"},
}

// losses are what was lost besides.
var losses = []struct {
	extra  vswitch.Extra
	advice string
}{
	{vswitch.SendRefused, "datagrams that the kernel did not take; `uvtep stats` says why: no room, too big or refused"},
	{vswitch.WriteRefused, "frames that the TAP did not take; is it up?"},
	{vswitch.ReadLost, "frames that the kernel could not hand over from the TAP"},
}

// warnings are what is not as it should be. mu is held.
func (p *plane) warnings(v *statusView, link linkView, c meanwhile) []string {
	w := warner{out: []string{}}
	if !v.Underlay.Usable {
		w.say("the underlay %s cannot be used now: see to its address and to the default route", v.Underlay.Ifname)
	}
	for i := range v.Networks {
		p.warnOfNetwork(&w, &v.Networks[i], link)
	}
	p.warnOfEtcd(&w, v)
	w.losses(c)
	w.refused(link)
	return w.out
}

// warner gathers warnings.
type warner struct{ out []string }

func (w *warner) say(format string, a ...any) {
	w.out = append(w.out, plain(fmt.Sprintf(format, a...)))
}

func (p *plane) warnOfEtcd(w *warner, v *statusView) {
	switch e := v.Etcd; {
	case e.AwaySince != nil:
		w.say("etcd has not answered since %s: what is known stays in force, what changes is not heard; see to %s",
			ago(*e.AwaySince), strings.Join(e.Endpoints, ", "))
	case e.Heard == nil:
		w.say("etcd has not been heard yet; see to %s", strings.Join(e.Endpoints, ", "))
	}
	if t := p.tables; t != nil && t.Skipped > 0 {
		w.say("%d keys in etcd cannot be used; the agent's log names them", t.Skipped)
	}
}

func (p *plane) warnOfNetwork(w *warner, n *networkStatus, link linkView) {
	if !n.Joined {
		w.say("%s: the host has no place in the network yet; the agent's log says what it waits for", n.Ifname)
	}
	if n.Stale != "" {
		w.say("%s: the tables are stale since %s", n.Ifname, n.Stale)
	}
	if n.MTU != p.mtu {
		w.say("%s: its MTU is %d, and %d fits: `ip link set %[1]s mtu %[3]d`", n.Ifname, n.MTU, p.mtu)
	}
	if p.noIPv6 {
		w.say("%s: its MTU is too small for IPv6, which this host has none of in the overlay", n.Ifname)
	}
	for port, l := range link.AlsoListen {
		if !l.Active {
			w.say("%s: port %d cannot be listened on: %s", n.Ifname, port, l.Reason)
		}
	}
	if p.tables == nil {
		return
	}
	p.warnOfSilent(w, n.Ifname)
	for i, c := range p.tables.Conflicts {
		if i == maxConflictsShown {
			w.say("and %d conflicts more; `uvtep stats` has them", p.tables.ConflictCount-i)
			break
		}
		w.say("%s", c)
	}
}

// warnOfSilent tells of hosts of uvtep's that hold a subnet while nothing is heard of
// their agents: those have no record in etcd any more.
func (p *plane) warnOfSilent(w *warner, ifname string) {
	var names []string
	silent := 0
	for _, peer := range p.tables.Peers.All() {
		if peer.NodeID == "" {
			continue
		}
		if _, there := p.tables.Hosts.Get(peer.NodeID); there {
			continue
		}
		if silent++; silent <= namedPeers {
			names = append(names, some(text(peer.Subnet), text(peer.Subnet6)))
		}
	}
	if silent > len(names) {
		names = append(names, "…")
	}
	if silent > 0 {
		w.say("%s: the agent of %s that a subnet is leased to is silent: %s; `uvtep subnets` has when, `uvtep probe` whether frames get there", ifname, plural(silent, "host"), strings.Join(names, ", "))
	}
}

// maxConflictsShown is how many conflicts a status tells one by one.
const maxConflictsShown = 5

// losses tells of what was lost in the last seconds.
func (w *warner) losses(c meanwhile) {
	over := c.now.at.Sub(c.was.at).Round(sampleEvery)
	for _, d := range ofNote {
		if n := c.frames(d.verdict); n > 0 {
			w.say("%s: %d in %s: %s", d.verdict, n, over, d.advice)
		}
	}
	for _, l := range losses {
		if n := c.extra(l.extra); n > 0 {
			w.say("%s: %d in %s: %s", l.extra, n, over, l.advice)
		}
	}
	if n := c.now.under.Overrun - c.was.under.Overrun; n > 0 {
		w.say("overrun: %d datagrams in %s came when the receive buffer was full; see recv_buffer in `uvtep link`", n, over)
	}
}

// refused tells of what would make the data path faster and is not to be had.
// What somebody switched off is no warning.
func (w *warner) refused(link linkView) {
	for _, name := range featureNames {
		if f := link.Features[name]; !f.Active && f.Reason != "" && link.Offload.Wish == offloadAuto {
			w.say("%s is not in use: %s", name, f.Reason)
		}
	}
	for _, b := range []struct {
		name string
		bufferView
	}{{"recv_buffer", link.RecvBuffer}, {"send_buffer", link.SendBuffer}} {
		if b.Granted < b.Asked {
			w.say("%s has %d of %d bytes: %s", b.name, b.Granted, b.Asked, b.Reason)
		}
	}
	for _, vtep := range slices.SortedFunc(maps.Keys(link.Paths), netip.Addr.Compare) {
		w.say("the path to %s takes %d bytes only; senders are told what fits", vtep, link.Paths[vtep])
	}
}
