package etcdsync

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/uvtep/uvtep/encap"
)

// maxConfigLen bounds what is read as a network configuration, in bytes.
const maxConfigLen = 64 << 10

// backendType is the only backend that uvtep speaks.
const backendType = "vxlan"

// networkFile is the configuration as it stands in etcd, each field as it was
// written: a field of the wrong type is one fault among others.
type networkFile struct {
	EnableIPv4, EnableIPv6                   json.RawMessage
	Network, SubnetLen, SubnetMin, SubnetMax json.RawMessage
	IPv6Network, IPv6SubnetLen               json.RawMessage
	IPv6SubnetMin, IPv6SubnetMax             json.RawMessage
	Backend                                  json.RawMessage
}

// backendFile is its Backend.
type backendFile struct {
	Type, VNI, Port, MTU             json.RawMessage
	GBP, Learning, DirectRouting     json.RawMessage
	Flood, InnerVLAN, StrictReserved json.RawMessage
	AlsoListen, UnknownVTEP          json.RawMessage
}

// ParseNetwork reads a network configuration. Warnings are about things that
// work otherwise than somebody may expect. The error is an ErrBadNetwork and
// lists every fault.
func ParseNetwork(b []byte) (n Network, warnings []string, err error) {
	if len(b) > maxConfigLen {
		return Network{}, nil, fmt.Errorf("%w: %d bytes long, %d at most", ErrBadNetwork, len(b), maxConfigLen)
	}
	var file networkFile
	if err := json.Unmarshal(b, &file); err != nil {
		return Network{}, nil, fmt.Errorf("%w: not a JSON object: %w", ErrBadNetwork, err)
	}
	p := networkParser{n: NewNetwork(netip.Prefix{}, netip.Prefix{})}
	p.ranges(&file)
	p.backend(file.Backend)
	p.n.complete(&p.faults)
	if err := p.faults.err(ErrBadNetwork); err != nil {
		return Network{}, p.warnings, err
	}
	return p.n, p.warnings, nil
}

// networkParser gathers what a configuration says and what is wrong with it.
type networkParser struct {
	n        Network
	faults   faults
	warnings []string
}

func (p *networkParser) warnf(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// ranges reads what a configuration says about addresses.
func (p *networkParser) ranges(file *networkFile) {
	enable4, enable6 := true, false
	decode(&p.faults, "EnableIPv4", file.EnableIPv4, &enable4)
	decode(&p.faults, "EnableIPv6", file.EnableIPv6, &enable6)
	if enable4 {
		p.prefix("Network", file.Network, &p.n.IPv4)
		decode(&p.faults, "SubnetLen", file.SubnetLen, &p.n.SubnetLen)
		p.addr("SubnetMin", file.SubnetMin, &p.n.SubnetMin)
		p.addr("SubnetMax", file.SubnetMax, &p.n.SubnetMax)
	}
	if enable6 {
		p.prefix("IPv6Network", file.IPv6Network, &p.n.IPv6)
		decode(&p.faults, "IPv6SubnetLen", file.IPv6SubnetLen, &p.n.IPv6SubnetLen)
		p.addr("IPv6SubnetMin", file.IPv6SubnetMin, &p.n.IPv6SubnetMin)
		p.addr("IPv6SubnetMax", file.IPv6SubnetMax, &p.n.IPv6SubnetMax)
	}
	switch {
	case !enable4 && !enable6:
		p.faults.addf("EnableIPv4 and EnableIPv6 are both false")
	case !enable4:
		p.warnf("without IPv4 the network is for uvtep hosts only: IPv6-only leases of flannel collide")
	}
}

// prefix reads a range that must be there.
func (p *networkParser) prefix(name string, raw json.RawMessage, into *netip.Prefix) {
	var text string
	if !decode(&p.faults, name, raw, &text) {
		return
	}
	if text == "" {
		p.faults.addf("%s is missing or empty", name)
		return
	}
	v, err := netip.ParsePrefix(text)
	if err != nil {
		p.faults.addf("%s %q is not a range of addresses, as in 10.10.0.0/16", name, text)
		return
	}
	if *into = v.Masked(); *into != v {
		p.warnf("%s %s has bits beyond its length: taken as %s", name, v, *into)
	}
}

// addr reads an address that may be missing.
func (p *networkParser) addr(name string, raw json.RawMessage, into *netip.Addr) {
	var text string
	if !decode(&p.faults, name, raw, &text) || text == "" {
		return
	}
	v, err := netip.ParseAddr(text)
	if err != nil || v.Zone() != "" {
		p.faults.addf("%s %q is not an IP address", name, text)
		return
	}
	if !v.IsUnspecified() { // flannel's zero value, its default
		*into = v
	}
}

// backend reads the Backend.
func (p *networkParser) backend(raw json.RawMessage) {
	var file backendFile
	if !isNull(raw) {
		if err := json.Unmarshal(raw, &file); err != nil {
			p.faults.addf("Backend is not a JSON object")
			return
		}
	}
	p.backendType(file.Type)
	p.backendNumbers(&file)
	f := &p.faults
	decode(f, "Backend.Flood", file.Flood, &p.n.Flood)
	decode(f, "Backend.InnerVLAN", file.InnerVLAN, &p.n.InnerVLAN)
	decode(f, "Backend.StrictReserved", file.StrictReserved, &p.n.StrictReserved)
	decode(f, "Backend.AlsoListen", file.AlsoListen, &p.n.AlsoListen)
	decode(f, "Backend.UnknownVTEP", file.UnknownVTEP, &p.n.UnknownVTEP)
	p.unsupported(&file)
}

func (p *networkParser) backendType(raw json.RawMessage) {
	var name string
	if !decode(&p.faults, "Backend.Type", raw, &name) {
		return
	}
	switch {
	case name == "":
		p.warnf("Backend.Type is missing: taken as %q (flannel would take udp)", backendType)
	case !strings.EqualFold(name, backendType): // flannel lowers it as well
		p.faults.addf("Backend.Type %q is not for uvtep, which speaks %q only", name, backendType)
	}
}

func (p *networkParser) backendNumbers(file *backendFile) {
	vni, port := int64(p.n.VNI), int64(0)
	decode(&p.faults, "Backend.VNI", file.VNI, &vni)
	decode(&p.faults, "Backend.Port", file.Port, &port)
	decode(&p.faults, "Backend.MTU", file.MTU, &p.n.MTU)
	if vni < 0 || vni > math.MaxUint32 || !encap.VNI(vni).Valid() {
		p.faults.addf("Backend.VNI %d does not fit in 24 bits", vni)
		vni = defaultVNI
	}
	if port < 0 || port > math.MaxUint16 {
		p.faults.addf("Backend.Port %d is not a port", port)
		return
	}
	if port == 0 {
		p.warnf("Backend.Port is missing: taken as %d (flannel on Linux would take 8472)", encap.Port)
		port = encap.Port
	}
	p.n.VNI, p.n.Port = encap.VNI(vni), uint16(port)
}

// unsupported looks at what flannel can do and uvtep cannot.
func (p *networkParser) unsupported(file *backendFile) {
	var gbp, learning, direct bool
	decode(&p.faults, "Backend.GBP", file.GBP, &gbp)
	decode(&p.faults, "Backend.Learning", file.Learning, &learning)
	decode(&p.faults, "Backend.DirectRouting", file.DirectRouting, &direct)
	if gbp {
		p.warnf("Backend.GBP is ignored: group policy is neither sent nor looked at")
	}
	if learning {
		p.warnf("Backend.Learning is ignored: nothing but etcd fills a table")
	}
	if direct {
		p.faults.addf("Backend.DirectRouting is not supported: hosts that use it route around the tunnel, and what they send that way would be dropped here as unexpected; set it to false")
	}
}

// decode reads one field. A field that is missing or null leaves into as it
// is; one of another type is a fault, and the answer false.
func decode[T any](f *faults, name string, raw json.RawMessage, into *T) bool {
	if isNull(raw) {
		return true
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		f.addf("%s: %.40s is not %s", name, raw, kindOf(v))
		return false
	}
	*into = v
	return true
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// kindOf names what a field has to be.
func kindOf(v any) string {
	switch v.(type) {
	case bool:
		return "true or false"
	case int, int64:
		return "a whole number"
	case string:
		return "a string"
	}
	return "a list of ports"
}
