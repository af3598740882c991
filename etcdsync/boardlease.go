package etcdsync

import (
	"net/netip"
	"slices"
	"strings"
)

// enterLease puts a lease in, unless it overlaps one of ours: a route for it
// would take our own containers away. The census tells of it.
func (b *board) enterLease(r *row) {
	if r.self() {
		b.show(r)
		b.own = append(b.own, r.subnets())
		b.sortOut()
		return
	}
	if !b.isOurs(r) {
		b.showLease(r)
	}
}

func (b *board) withdrawLease(r *row) {
	if r.self() {
		b.hide(r)
		i := slices.Index(b.own, r.subnets())
		b.own = slices.Delete(b.own, i, i+1)
		b.sortOut()
		return
	}
	if r.marks.has(shown) {
		b.hideLease(r)
	}
}

// sortOut looks at all leases again after one of our own came or went.
func (b *board) sortOut() {
	for r := range b.rows.all() {
		if r.kind != lease || r.self() {
			continue
		}
		switch ours, is := b.isOurs(r), r.marks.has(shown); {
		case ours && is:
			b.hideLease(r)
		case !ours && !is:
			b.showLease(r)
		}
	}
}

func (b *board) isOurs(r *row) bool {
	return slices.ContainsFunc(b.own, r.subnets().overlap)
}

func (b *board) showLease(r *row) {
	r.mark(shown, true)
	b.show(r)
	b.peers.Set(r.peer().Key, r.peer())
	for _, p := range r.subnets().prefixes() {
		b.routes.add(p, r.over6(p))
	}
	b.logLease(r)
	if !b.me.reaches(r.vtep()) {
		b.alarm.Warn().Str("key", r.name()).Str("host", b.census.name(r.party())).Stringer("address", r.vtep().To.Addr()).
			Msg("a host cannot be reached: it has no address of a family that this host has; what is for it is dropped. Give one of the two an address of the other's family")
	}
}

func (b *board) hideLease(r *row) {
	r.mark(shown, false)
	b.hide(r)
	b.peers.Delete(r.peer().Key)
	for _, p := range r.subnets().prefixes() {
		b.routes.remove(p, r.over6(p))
	}
	b.log.Info().Msgf("removing subnet: %s", r.subnets())
}

// over6 reports whether datagrams for a subnet of the lease go over IPv6.
func (r *row) over6(p netip.Prefix) bool {
	for s := range r.stations() {
		if s.vtep != nil && s.ips.has(p.Addr()) {
			return s.vtep.To.Addr().Is6()
		}
	}
	return r.vtep().To.Addr().Is6()
}

// logLease tells of a lease in the predecessor's words.
func (b *board) logLease(r *row) {
	mac := r.peer().MAC
	if mac.IsZero() {
		mac = r.peer().MAC6
	}
	b.log.Info().Msgf("adding subnet: %s PublicIP: %s VtepMAC: %s", r.subnets(), r.vtep().To.Addr(), mac)
	for s := range r.stations() {
		vtep := r.vtep()
		if s.vtep != nil {
			vtep = s.vtep
		}
		var ips []string
		for ip := range s.ips.all() {
			ips = append(ips, ip.String())
		}
		b.log.Info().Msgf("calling AddARP: %s, %s", strings.Join(ips, " "), s.mac)
		b.log.Info().Msgf("calling AddFDB: %s, %s", vtep.To, s.mac)
	}
}

// subnets are those that the lease's host can be reached for.
func (r *row) subnets() subnets { return subnets{r.more.peer.Subnet, r.more.peer.Subnet6} }
