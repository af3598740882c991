package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// checkOffload tells which features of the data path are not in use, and why.
func checkOffload(r *report, f *Facts) {
	if f.Agent.State != Answers {
		return
	}
	var names []string
	for name := range f.Agent.Features {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		x := f.Agent.Features[name]
		rests := x.Reason == "" // there is nothing to be done about it
		if x.Active || rests || f.Agent.Offload == "off" && (name == "tso" || name == "uso") {
			continue
		}
		r.add(Note, "", "%s is not in use, which costs speed: %s", name, x.Reason)
	}
	if f.Agent.Offload == "off" {
		r.add(Note, "uvtep link set offload auto", "superframes are switched off, which costs speed")
	}
	r.ok("all features of the data path are in use")
}

// checkChecksum tells about checksums that cost speed, or connections.
func checkChecksum(r *report, f *Facts) {
	segments := f.Agent.State == Answers && f.Agent.Features["udp_segment"].Active
	if f.ChecksumsOK && !f.Checksums && !segments {
		r.add(Note, fmt.Sprintf("ethtool -K %s tx on, if the device can", f.Underlay.Name), "%s does not complete checksums: the kernel refuses UDP segmentation on it, and each datagram is sent by itself", f.Underlay.Name)
	}
	for _, l := range f.Links {
		if l.Kind == "vxlan" && l.Up && strings.HasPrefix(l.Name, "flannel") {
			r.add(Note, fmt.Sprintf("ethtool -K %s tx-checksum-ip-generic off", l.Name), "%s is a vxlan device of the kernel: on some kernels what it sends to services has bad checksums, and connections stall for a minute", l.Name)
		}
	}
	switch {
	case f.ChecksumsOK && f.Checksums:
		r.ok("%s completes checksums", f.Underlay.Name)
	case f.ChecksumsOK:
		r.ok("%s does not complete checksums, and takes UDP segmentation all the same", f.Underlay.Name)
	}
}

// enough is the receive buffer that an agent asks for, in bytes, when it did not
// tell.
const enough = 4 << 20

// checkBuffers tells whether sockets get the buffers they ask for.
func checkBuffers(r *report, f *Facts) {
	for _, b := range []struct {
		what, sysctl string
		Buffer
	}{
		{"receive", "net/core/rmem_max", f.Agent.Receive}, {"send", "net/core/wmem_max", f.Agent.Send},
	} {
		if f.Agent.State == Answers && b.Granted < b.Asked {
			r.add(Warning, fmt.Sprintf("sysctl -w %s=%d", dotted(b.sysctl), b.Asked), "the %s buffers have %d bytes and not the %d asked for: bursts are dropped (%s)", b.what, b.Granted, b.Asked, b.Reason)
		}
	}
	if max := f.Sysctls["net/core/rmem_max"]; f.Agent.State != Answers && max > 0 && max < enough && f.NetAdmin != nil {
		r.add(Note, fmt.Sprintf("sysctl -w net.core.rmem_max=%d", enough), "net.core.rmem_max is %d: without CAP_NET_ADMIN an agent gets no larger buffers", max)
	}
	if f.Agent.State == Answers {
		r.ok("the sockets have the buffers they asked for")
	}
}

// checkDrops tells of datagrams that the kernel dropped for want of room: a
// warning where it is more than one in a thousand.
func checkDrops(r *report, f *Facts) {
	var n uint64
	for _, s := range f.Sockets {
		n += s.Drops
	}
	n = max(n, f.Agent.Overrun)
	if n > 0 {
		s := Note
		if n > f.Agent.Delivered/1000 {
			s = Warning
		}
		r.add(s, "sysctl -w net.core.rmem_max=16777216, and restart the agent; or more --queues", "the kernel dropped %s since the socket buffers were full (%d were delivered)", counted(int(n), "datagram"), f.Agent.Delivered)
	}
	if len(f.Sockets) > 0 {
		r.ok("no datagram was dropped for want of room")
	}
}

// checkConntrack tells whether the table of connections is nearly full: then
// what is new is dropped.
func checkConntrack(r *report, f *Facts) {
	n, known := f.Sysctls["net/netfilter/nf_conntrack_count"]
	limit := f.Sysctls["net/netfilter/nf_conntrack_max"]
	if !known || limit == 0 {
		return
	}
	if n > limit/10*9 {
		r.add(Warning, fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*limit), "the table of connections holds %d of %d: what is new is dropped when it is full", n, limit)
	}
	r.ok("the table of connections has room")
}
