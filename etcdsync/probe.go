package etcdsync

import (
	"encoding/json"

	"github.com/uvtep/uvtep/encap/ether"
)

// Probe is what others need to ask a host's agent whether datagrams get through,
// and what the agent knows them by when they do. Who can read it in etcd can do
// both.
type Probe struct {
	// Key is random, of the agent's start.
	Key [32]byte
	// Port is where the agent answers what is not in VXLAN; 0: nowhere.
	Port uint16
	// MAC is the address of the host's VTEP: a host without a subnet has no lease
	// that tells it.
	MAC ether.Addr
}

type probeText struct {
	Key  []byte // in base64
	Port uint16
	MAC  ether.Addr
}

func (p *Probe) text() *probeText {
	if p == nil {
		return nil
	}
	return &probeText{p.Key[:], p.Port, p.MAC}
}

// parseProbe reads what a host record says of probes. What cannot be read costs
// the probes and not the host.
func parseProbe(raw json.RawMessage) *Probe {
	var t probeText
	if isNull(raw) || json.Unmarshal(raw, &t) != nil || len(t.Key) != len(Probe{}.Key) || checkMAC(t.MAC) != nil {
		return nil
	}
	return &Probe{[32]byte(t.Key), t.Port, t.MAC}
}
