package etcdsync

import (
	"slices"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/fdb"
)

// warnOfMAC tells when claims to a MAC address cannot all be right. An endpoint
// that moved is claimed by two hosts for a moment: that is no fault. Of leases
// the census tells.
func (b *board) warnOfMAC(k fdb.Key) {
	claims := b.macs.claims(k)
	if len(claims) < 2 || allOf(endpoint, claims) || allOf(lease, claims) {
		return
	}
	b.alarm.Error().Stringer("vni", k.VNI).Stringer("mac", k.MAC).Strs("claims", names(claims)).
		Str("kept", b.macs.holder(k).name()).Msg("one MAC address is claimed twice")
}

// warnOfIP tells when an IP address is bound to two MAC addresses.
func (b *board) warnOfIP(k arpproxy.Key) {
	claims := b.ips.claims(k)
	if len(claims) < 2 || allOf(lease, claims) {
		return
	}
	first, _ := claims[0].macOf(k.IP)
	if !slices.ContainsFunc(claims, func(r *row) bool { mac, _ := r.macOf(k.IP); return mac != first }) {
		return
	}
	b.alarm.Error().Stringer("vni", k.VNI).Stringer("ip", k.IP).Strs("claims", names(claims)).
		Str("kept", b.ips.holder(k).name()).Msg("one IP address is bound to two MAC addresses")
}

func allOf(k kind, rows []*row) bool {
	return !slices.ContainsFunc(rows, func(r *row) bool { return r.kind != k })
}

// warnOfConflicts tells of what hosts have in common since the last tables, and
// no longer have.
func (b *board) warnOfConflicts() {
	begun, ended := b.census.settle()
	for i := range begun {
		c := &begun[i]
		b.alarm.Error().Str(string(c.Kind), c.What).Strs("hosts", c.Hosts).Str("do", c.Advice).Msg(c.Kind.message())
	}
	for i := range ended {
		c := &ended[i]
		b.alarm.Info().Str(string(c.Kind), c.What).Strs("hosts", c.Hosts).Msg("no longer: " + c.Kind.message())
	}
}

func names(rows []*row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.name())
	}
	return out
}
