package etcdsync

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// leaseValue is the value of a subnet key: flannel's, with what uvtep adds
// inside BackendData.
type leaseValue struct {
	publicIP, publicIPv6 netip.Addr
	backend              string     // "vxlan", or a backend that is not for us
	vni                  encap.VNI  // 0: not stated, the network's
	mac, mac6            ether.Addr // per subnet; zero where it has none
	node                 string     // empty: flannel's lease
	port                 uint16     // 0: the network's
}

// leaseText is the value as flannel writes it, field by field.
type leaseText struct {
	PublicIP      string
	PublicIPv6    *string
	BackendType   string       `json:",omitempty"`
	BackendData   *backendData `json:",omitempty"`
	BackendV6Data *backendData `json:",omitempty"`
}

// backendData is what flannel's vxlan backend keeps there, and our two
// additions, which it ignores.
type backendData struct {
	VNI     encap.VNI
	VtepMAC ether.Addr
	NodeID  string `json:",omitempty"`
	Port    uint16 `json:",omitempty"`
}

// marshal returns the value as it is written for a lease of s.
func (v leaseValue) marshal(s subnets) ([]byte, error) {
	t := leaseText{PublicIP: text4(v.publicIP), PublicIPv6: text6(v.publicIPv6), BackendType: v.backend}
	if s.v4.IsValid() {
		t.BackendData = &backendData{v.vni, v.mac, v.node, v.port}
	}
	if s.v6.IsValid() {
		t.BackendV6Data = &backendData{v.vni, v.mac6, v.node, v.port}
	}
	return json.Marshal(t)
}

// parseLease reads the value of a subnet key. Of a backend other than vxlan
// nothing but its holder's address is looked at.
func parseLease(b []byte) (leaseValue, error) {
	var t struct {
		PublicIP, PublicIPv6       underlayAddr
		BackendType                string
		BackendData, BackendV6Data json.RawMessage
	}
	if err := unmarshal(b, &t); err != nil {
		return leaseValue{}, err
	}
	v := leaseValue{publicIP: t.PublicIP.Addr, publicIPv6: t.PublicIPv6.Addr, backend: t.BackendType}
	if err := checkFamilies(v.publicIP, v.publicIPv6); err != nil {
		return leaseValue{}, err
	}
	if v.backend != backendType {
		return v, nil
	}
	d4, err4 := parseBackendData(t.BackendData)
	d6, err6 := parseBackendData(t.BackendV6Data)
	if err := errors.Join(err4, err6); err != nil {
		return leaseValue{}, err
	}
	d, err := d4.merge(d6)
	v.vni, v.node, v.port = d.VNI, d.NodeID, d.Port
	v.mac, v.mac6 = d4.VtepMAC, d6.VtepMAC
	return v, err
}

// parseBackendData reads one of the two objects; the zero value when it is
// missing.
func parseBackendData(raw json.RawMessage) (backendData, error) {
	var d backendData
	if isNull(raw) {
		return d, nil
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return backendData{}, fmt.Errorf("BackendData: %w", err)
	}
	if !d.VNI.Valid() {
		return backendData{}, fmt.Errorf("VNI %s does not fit in 24 bits", d.VNI)
	}
	return d, checkMAC(d.VtepMAC)
}

// merge returns what the two objects say about the host, which must be the
// same where both say something.
func (d backendData) merge(e backendData) (backendData, error) {
	if d.VtepMAC.IsZero() && e.VtepMAC.IsZero() {
		return d, errors.New("BackendData is missing")
	}
	if d.VtepMAC.IsZero() {
		return e, nil
	}
	if !e.VtepMAC.IsZero() && (d.VNI != e.VNI || d.NodeID != e.NodeID || d.Port != e.Port) {
		return d, errors.New("BackendData and BackendV6Data contradict each other")
	}
	return d, nil
}
