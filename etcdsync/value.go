package etcdsync

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// maxValueLen bounds what is read of a value, in bytes. Ours and flannel's
	// are a few hundred long.
	maxValueLen = 4 << 10
	// schema is the version of what lies under uvtep/. A value that says
	// nothing is of version 1. Fields that a reader does not know are ignored,
	// so that the next version can be read too; the one after that cannot be.
	schema, maxSchema = 1, 2
	// maxVNIs bounds the networks that one host can be in.
	maxVNIs = 64
)

// unmarshal reads a JSON object of bounded size.
func unmarshal(b []byte, into any) error {
	if len(b) > maxValueLen {
		return fmt.Errorf("%d bytes long, %d at most", len(b), maxValueLen)
	}
	return json.Unmarshal(b, into)
}

// ours is in what a value under uvtep/ is read into.
type ours struct{ Schema int }

// check refuses what a uvtep much newer than this wrote.
func (o *ours) check() error {
	if o.Schema < 0 || o.Schema > maxSchema {
		return fmt.Errorf("it is of schema %d, and this uvtep reads %d at most: update it", o.Schema, maxSchema)
	}
	return nil
}

// unmarshalOurs reads a value under uvtep/. One of a schema too new is refused for
// that, also when the rest of it does not fit any more.
func unmarshalOurs(b []byte, into interface{ check() error }) error {
	err := unmarshal(b, into)
	if err == nil {
		return into.check()
	}
	var o ours // into may lack it: reading ends at what does not fit
	if unmarshal(b, &o) == nil && o.check() != nil {
		return o.check()
	}
	return err
}

// checkMAC refuses addresses that no station has.
func checkMAC(a ether.Addr) error {
	if a.IsZero() || a.IsMulticast() {
		return fmt.Errorf("%s is not the MAC address of a station", a)
	}
	return nil
}

// checkUnderlay refuses addresses that no VTEP can have. What other hosts
// write is not to be trusted with where our datagrams go: not to ourselves,
// not to everybody.
func checkUnderlay(a netip.Addr) error {
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || a.IsLinkLocalUnicast() && a.Is6() {
		return fmt.Errorf("%s is not the address of a VTEP", a)
	}
	return nil
}

// underlayAddr is a public address as it is written: null, or 0.0.0.0 as
// flannel does, when the host has none of the family.
type underlayAddr struct{ netip.Addr }

// UnmarshalJSON reads an address in quotes, or null.
func (a *underlayAddr) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("a public address must be a string")
	}
	a.Addr = netip.Addr{}
	if text == nil || *text == "" {
		return nil
	}
	v, err := netip.ParseAddr(*text)
	if err != nil || v.Zone() != "" {
		return fmt.Errorf("%.60q is not an IP address", *text)
	}
	if v = v.Unmap(); v.IsUnspecified() {
		return nil
	}
	a.Addr = v
	return checkUnderlay(v)
}

// text4 and text6 are the two ways to write an address that is missing.
func text4(a netip.Addr) string {
	if !a.IsValid() {
		return "0.0.0.0"
	}
	return a.String()
}

func text6(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	s := a.String()
	return &s
}

// checkFamilies refuses a PublicIP that is not IPv4 and a PublicIPv6 that is
// not IPv6, and a host that has neither.
func checkFamilies(v4, v6 netip.Addr) error {
	switch {
	case !v4.IsValid() && !v6.IsValid():
		return errors.New("PublicIP is missing")
	case v4.IsValid() && !v4.Is4():
		return fmt.Errorf("PublicIP %s is not an IPv4 address", v4)
	case v6.IsValid() && !v6.Is6():
		return fmt.Errorf("PublicIPv6 %s is not an IPv6 address", v6)
	}
	return nil
}

// stationAddrs reads the IP addresses of a station, each one once.
func stationAddrs(texts []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		a = a.Unmap()
		if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return nil, fmt.Errorf("%.60q is not the IP address of a station", text)
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, nil
}

// hostValue is a host's record: what every uvtep host says about itself.
type hostValue struct {
	publicIP, publicIPv6 netip.Addr
	port                 uint16 // 0: the network's
	vnis                 []encap.VNI
	subnets              subnets
	probe                *Probe // nil: it answers no probes
}

type hostText struct {
	PublicIP   string
	PublicIPv6 *string
	Port       uint16
	VNIs       []encap.VNI
	Subnets    []netip.Prefix
	Probe      *probeText `json:",omitempty"`
	Schema     int
}

// marshal returns the record as it is written.
func (h hostValue) marshal() ([]byte, error) {
	return json.Marshal(hostText{
		PublicIP: text4(h.publicIP), PublicIPv6: text6(h.publicIPv6), Port: h.port,
		VNIs: h.vnis, Subnets: h.subnets.prefixes(), Probe: h.probe.text(), Schema: schema,
	})
}

// parseHost reads a host's record. The subnets it names are for people: those
// that count are the leases.
func parseHost(b []byte) (hostValue, error) {
	var t struct {
		PublicIP, PublicIPv6 underlayAddr
		Port                 uint16
		VNIs                 []encap.VNI
		Probe                json.RawMessage
		ours
	}
	if err := unmarshalOurs(b, &t); err != nil {
		return hostValue{}, err
	}
	h := hostValue{publicIP: t.PublicIP.Addr, publicIPv6: t.PublicIPv6.Addr, port: t.Port, vnis: t.VNIs, probe: parseProbe(t.Probe)}
	if len(t.VNIs) > maxVNIs {
		return hostValue{}, fmt.Errorf("%d VNIs, %d at most", len(t.VNIs), maxVNIs)
	}
	for _, v := range t.VNIs {
		if !v.Valid() {
			return hostValue{}, fmt.Errorf("VNI %s does not fit in 24 bits", v)
		}
	}
	return h, checkFamilies(h.publicIP, h.publicIPv6)
}

// endpointValue is a station behind the host that writes it.
type endpointValue struct {
	ips   []netip.Addr
	seq   uint64    // grows at each move (RFC 7432 §15)
	since time.Time // when the host saw it first, for people; the zero Time when it does not say
}

type endpointText struct {
	IPs    []netip.Addr
	Seq    uint64
	Since  time.Time `json:",omitzero"`
	Schema int
}

// marshal returns the value as it is written.
func (e endpointValue) marshal() ([]byte, error) {
	if e.ips == nil {
		e.ips = []netip.Addr{}
	}
	return json.Marshal(endpointText{e.ips, e.seq, e.since, schema})
}

// parseEndpoint reads what a host says about a station.
func parseEndpoint(b []byte) (endpointValue, error) {
	var t struct {
		IPs   []string
		Seq   uint64
		Since any
		ours
	}
	if err := unmarshalOurs(b, &t); err != nil {
		return endpointValue{}, err
	}
	ips, err := stationAddrs(t.IPs)
	text, _ := t.Since.(string)
	since, _ := time.Parse(time.RFC3339, text) // whatever it is, the tables do without
	return endpointValue{ips, t.Seq, since}, err
}

// staticValue is a station as an operator wrote it down.
type staticValue struct {
	ips  []netip.Addr
	vtep netip.Addr
}

// marshal returns the value as it is written.
func (s staticValue) marshal() ([]byte, error) {
	if s.ips == nil {
		s.ips = []netip.Addr{}
	}
	return json.Marshal(struct {
		IPs    []netip.Addr
		VTEP   netip.Addr
		Schema int
	}{s.ips, s.vtep, schema})
}

// parseStatic reads what an operator says about a station.
func parseStatic(b []byte) (staticValue, error) {
	var t struct {
		IPs  []string
		VTEP underlayAddr
		ours
	}
	if err := unmarshalOurs(b, &t); err != nil {
		return staticValue{}, err
	}
	if !t.VTEP.IsValid() {
		return staticValue{}, errors.New("VTEP is missing")
	}
	ips, err := stationAddrs(t.IPs)
	return staticValue{ips, t.VTEP.Addr}, err
}
