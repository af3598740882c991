package etcdsync

import (
	"encoding/json"

	"github.com/uvtep/uvtep/encap"
)

// networkText is the configuration as it is written, in flannel's order.
type networkText struct {
	Network       string `json:",omitempty"`
	SubnetLen     int    `json:",omitempty"`
	SubnetMin     string `json:",omitempty"`
	SubnetMax     string `json:",omitempty"`
	EnableIPv4    bool
	EnableIPv6    bool
	IPv6Network   string `json:",omitempty"`
	IPv6SubnetLen int    `json:",omitempty"`
	IPv6SubnetMin string `json:",omitempty"`
	IPv6SubnetMax string `json:",omitempty"`
	Backend       backendText
}

type backendText struct {
	Type           string
	VNI            encap.VNI
	Port           uint16
	MTU            int      `json:",omitempty"`
	Flood          bool     `json:",omitempty"`
	InnerVLAN      string   `json:",omitempty"`
	StrictReserved bool     `json:",omitempty"`
	AlsoListen     []uint16 `json:",omitempty"`
	UnknownVTEP    string   `json:",omitempty"`
}

// MarshalJSON writes the configuration in flannel's form, with everything
// stated that flannel would otherwise assume differently (the port above all)
// and uvtep's additions where they are not at their default.
func (n Network) MarshalJSON() ([]byte, error) {
	n, err := n.Complete()
	if err != nil {
		return nil, err
	}
	t := networkText{
		EnableIPv4: n.IPv4.IsValid(), EnableIPv6: n.IPv6.IsValid(),
		SubnetLen: n.SubnetLen, IPv6SubnetLen: n.IPv6SubnetLen,
		Backend: backendText{
			Type: backendType, VNI: n.VNI, Port: n.Port, MTU: n.MTU,
			Flood: n.Flood, StrictReserved: n.StrictReserved, AlsoListen: n.AlsoListen,
		},
	}
	if t.EnableIPv4 {
		t.Network, t.SubnetMin, t.SubnetMax = n.IPv4.String(), n.SubnetMin.String(), n.SubnetMax.String()
	}
	if t.EnableIPv6 {
		t.IPv6Network, t.IPv6SubnetMin, t.IPv6SubnetMax = n.IPv6.String(), n.IPv6SubnetMin.String(), n.IPv6SubnetMax.String()
	}
	if n.InnerVLAN != InnerVLANRFC {
		t.Backend.InnerVLAN = n.InnerVLAN
	}
	if n.UnknownVTEP != UnknownVTEPDrop {
		t.Backend.UnknownVTEP = n.UnknownVTEP
	}
	return json.Marshal(t)
}
