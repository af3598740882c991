package arpproxy

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// The cast. Remote hosts have a lease each, the pod behind one of them is an
// endpoint, the operator has written down a printer; asker and neighbour are
// stations behind our TAP.
var (
	asker     = ether.Addr{0x02, 0, 0, 0, 0, 0x0a}
	neighbour = ether.Addr{0x02, 0, 0, 0, 0, 0x0b}
	hostMAC   = ether.Addr{0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7}
	podMAC    = ether.Addr{0x02, 0, 0, 0, 0, 0x11}
	printMAC  = ether.Addr{0x02, 0, 0, 0, 0, 0x12}

	hostBinding  = Binding{MAC: hostMAC, Origin: fdb.Lease, Rev: 7}
	podBinding   = Binding{MAC: podMAC, Origin: fdb.Endpoint, Rev: 8}
	printBinding = Binding{MAC: printMAC, Origin: fdb.Static, Rev: 9}
	askerBinding = Binding{MAC: asker, Origin: fdb.Endpoint, Rev: 10}
)

const (
	askerIP = "10.5.3.2" // not in the table: not everybody is registered
	ownIP   = "10.5.3.0"
	hostIP  = "10.5.10.0"
	podIP   = "10.5.10.7"
	printIP = "10.5.10.8"
	movedIP = "10.5.3.9" // bound to the asker
	freeIP  = "10.5.77.7"
	zeroIP  = "0.0.0.0"

	vni = 1
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// testTable holds the bindings of the cast, in VNI 1, for both families.
func testTable() *Table {
	e := new(Table).Edit()
	for ip, b := range map[string]Binding{
		hostIP: hostBinding, podIP: podBinding, printIP: printBinding, movedIP: askerBinding,
		hostIP6: hostBinding, podIP6: podBinding, printIP6: printBinding, movedIP6: askerBinding,
	} {
		e.Set(Key{vni, addr(ip)}, b)
	}
	return e.Table()
}

var testOwn = Own{IPs: []netip.Addr{addr(ownIP), addr(ownIP6)}}

// arp is an ARP frame to be built by gopacket.
type arp struct {
	eth layers.Ethernet
	msg layers.ARP
}

// request is the ARP request of the asker for ip, with changes.
func request(ip string, changes ...func(*arp)) ether.Frame {
	a := &arp{
		eth: layers.Ethernet{SrcMAC: asker[:], DstMAC: ether.Broadcast[:], EthernetType: layers.EthernetTypeARP},
		msg: layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation:         layers.ARPRequest,
			SourceHwAddress:   asker[:],
			SourceProtAddress: addr(askerIP).AsSlice(),
			DstHwAddress:      make([]byte, 6),
			DstProtAddress:    addr(ip).AsSlice(),
		},
	}
	for _, change := range changes {
		change(a)
	}
	return serialize(&a.eth, &a.msg)
}

// serialize has gopacket write the layers, with lengths and checksums.
func serialize(l ...gopacket.SerializableLayer) ether.Frame {
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		panic(err)
	}
	return ether.Frame(buf.Bytes())
}

func to(a ether.Addr) func(*arp)  { return func(p *arp) { p.eth.DstMAC = a[:] } }
func from(ip string) func(*arp)   { return func(p *arp) { p.msg.SourceProtAddress = addr(ip).AsSlice() } }
func op(n uint16) func(*arp)      { return func(p *arp) { p.msg.Operation = n } }
func sha(a ether.Addr) func(*arp) { return func(p *arp) { p.msg.SourceHwAddress = a[:] } }
func tha(a ether.Addr) func(*arp) { return func(p *arp) { p.msg.DstHwAddress = a[:] } }

// by makes a the sender, in the frame and in the message.
func by(a ether.Addr) func(*arp) {
	return func(p *arp) { p.eth.SrcMAC, p.msg.SourceHwAddress = a[:], a[:] }
}

// changed is f with the byte at offset i set to v; cut is f without what is
// behind the first n bytes of its payload.
func changed(f ether.Frame, i int, v byte) ether.Frame { f[i] = v; return f }
func cut(f ether.Frame, n int) ether.Frame             { return f[:ether.HeaderLen+n] }

// spec is one rule about Decide.
type spec struct {
	name    string
	frame   ether.Frame
	want    Action
	binding Binding
}

// check runs the rules, and looks that deciding leaves each frame as it was.
func check(t *testing.T, specs []spec) {
	t.Helper()
	tab := testTable()
	for _, s := range specs {
		t.Run(s.name, func(t *testing.T) {
			before := string(s.frame)
			got, b := Decide(s.frame, vni, tab, testOwn)
			if got != s.want || b != s.binding {
				t.Errorf("Decide = %v with binding %+v, want %v with %+v", got, b, s.want, s.binding)
			}
			if string(s.frame) != before {
				t.Error("Decide changed the frame")
			}
		})
	}
}
