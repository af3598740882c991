package etcdsync

import (
	"slices"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/fdb"
)

// warnOfMAC tells when hosts that cannot both be right claim a MAC address. An
// endpoint that moved is claimed by two hosts for a moment: that is no fault.
func (b *board) warnOfMAC(k fdb.Key) {
	claims := b.macs.claims(k)
	if len(claims) < 2 || !slices.ContainsFunc(claims, func(r *row) bool { return r.kind != endpoint }) {
		return
	}
	b.conflicts++
	b.alarm.Error().Stringer("vni", k.VNI).Stringer("mac", k.MAC).Strs("claims", names(claims)).
		Str("kept", b.macs.holder(k).name).Msg("one MAC address is claimed twice")
}

// warnOfIP tells when an IP address is bound to two MAC addresses.
func (b *board) warnOfIP(k arpproxy.Key) {
	claims := b.ips.claims(k)
	if len(claims) < 2 {
		return
	}
	first, _ := claims[0].macOf(k.IP)
	if !slices.ContainsFunc(claims, func(r *row) bool { mac, _ := r.macOf(k.IP); return mac != first }) {
		return
	}
	b.conflicts++
	b.alarm.Error().Stringer("vni", k.VNI).Stringer("ip", k.IP).Strs("claims", names(claims)).
		Str("kept", b.ips.holder(k).name).Msg("one IP address is bound to two MAC addresses")
}

func names(rows []*row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.name)
	}
	return out
}
