package etcdsync

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

const (
	// maxResidents and maxResidentIPs bound what one host announces in a
	// network: more is a fault or an attack, and would fill everybody's tables.
	maxResidents   = 4096
	maxResidentIPs = 16
	// defaultMaxAge is how long a station is announced without a sign of life.
	// Before that it is asked for one, from askAt of it on, every askEach.
	defaultMaxAge = 300 * time.Second
	askAt         = 0.75
	askEach       = 0.08
	// maxAsks is how many questions are asked at once, of which there is one a
	// second: all that an earlier run announced is silent for the same time.
	maxAsks = 1000
)

// roster is which stations are behind this host, in one network, and what is to
// be announced of them. What it is told are sightings on the TAP and the tables;
// it does no I/O and has no clock. It belongs to one goroutine.
type roster struct {
	vni    encap.VNI
	mac    ether.Addr // the TAP's own
	name   string     // of this host, for people
	maxAge time.Duration
	log    zerolog.Logger
	alarm  zerolog.Logger // limited, since stations can set it off

	tables    *Tables // latest; nil: nothing is known of others yet
	own       subnets // of this host, whose first addresses are the TAP's
	stations  map[ether.Addr]*resident
	owners    map[netip.Addr]ether.Addr // of the residents' addresses
	dirty     map[ether.Addr]struct{}   // what is to be announced of them may have changed
	contested map[ether.Addr]struct{}   // they have addresses that are others'
	lost      bool                      // a station is elsewhere now, or so it seems
	past      *restless
	full      bool // there were too many stations, and that was said
	crowded   bool // a station had too many addresses, and that was said
	refused   map[ether.Addr]time.Time
}

// resident is a station behind this host.
type resident struct {
	seen  time.Time // last
	since time.Time
	seq   uint64
	rev   int64 // of the value that is in etcd; 0: none yet
	ips   []residentIP
}

// residentIP is an address of a resident.
type residentIP struct {
	netip.Addr
	told  time.Time // when the station last said that it has it
	asked time.Time // when it was last asked
}

// question is what a station is to be asked.
type question struct {
	ip  netip.Addr
	mac ether.Addr
}

func newRoster(vni encap.VNI, mac ether.Addr, log zerolog.Logger) *roster {
	return &roster{
		vni: vni, mac: mac, name: "this host", maxAge: defaultMaxAge, log: log, alarm: limited(log),
		stations: make(map[ether.Addr]*resident), owners: make(map[netip.Addr]ether.Addr),
		dirty: make(map[ether.Addr]struct{}), contested: make(map[ether.Addr]struct{}), past: newRestless(), refused: make(map[ether.Addr]time.Time),
	}
}

// see takes in a sighting. Without tables nobody knows whose the station is.
func (r *roster) see(mac ether.Addr, ip netip.Addr, now time.Time) {
	if r.tables == nil || mac == r.mac || checkMAC(mac) != nil {
		return
	}
	s := r.stations[mac]
	if s == nil {
		if s = r.admit(mac, now); s == nil {
			return
		}
	}
	s.seen = now
	if ip.IsValid() {
		r.bind(mac, s, ip, now)
	}
}

// admit takes in a station that was not here, unless it is not to be announced:
// it returns nil then.
func (r *roster) admit(mac ether.Addr, now time.Time) *resident {
	e, known := r.tables.FDB.Lookup(r.vni, mac)
	known = known && e.VTEP != nil
	switch {
	case known && e.Origin != fdb.Endpoint:
		r.refuse(mac, e, now)
		return nil
	case r.past.frozen(mac, now):
		return nil
	case len(r.stations) >= maxResidents:
		if !r.full {
			r.full = true
			r.alarm.Error().Stringer("vni", r.vni).Int("stations", maxResidents).Stringer("mac", mac).
				Msg("too many stations behind this host; no more are announced until some are gone")
		}
		return nil
	}
	s := &resident{since: now}
	if known { // it has moved here
		if r.moved(mac, e, now) {
			return nil
		}
		if s.seq = e.Seq; s.seq < math.MaxUint64 { // of two with the highest the later one counts
			s.seq++
		}
	}
	r.stations[mac] = s
	r.dirty[mac] = struct{}{}
	r.log.Debug().Stringer("vni", r.vni).Stringer("mac", mac).Uint64("seq", s.seq).Msg("station seen")
	return s
}

// refuse tells of a station with an address that etcd binds to another host for
// good (RFC 7432 §15.2).
func (r *roster) refuse(mac ether.Addr, e fdb.Entry, now time.Time) {
	if at, told := r.refused[mac]; told && now.Sub(at) < holdDown || len(r.refused) >= maxResidents {
		return
	}
	r.refused[mac] = now
	r.alarm.Error().Stringer("vni", r.vni).Stringer("mac", mac).Stringer("origin", e.Origin).Stringer("vtep", e.VTEP.To).
		Msg("a station here has a MAC address that is bound to another host; it is not announced")
}

// moved notes that a station came from another host or went to one, and reports
// whether that is too often: then it is on both, and left where it is.
func (r *roster) moved(mac ether.Addr, e fdb.Entry, now time.Time) (frozen bool) {
	if !r.past.moved(mac, now) {
		return false
	}
	r.alarm.Error().Stringer("vni", r.vni).Stringer("mac", mac).Strs("hosts", []string{r.name, e.VTEP.To.Addr().String()}).
		Dur("hold", holdDown).Msg("one MAC address is on two hosts: it moves to and fro; not announced for a while")
	return true
}

// bind takes in that a station has an address. Of two stations here the one that
// said so last has it.
func (r *roster) bind(mac ether.Addr, s *resident, ip netip.Addr, now time.Time) {
	if i := s.index(ip); i >= 0 {
		s.ips[i].told = now
		return
	}
	if r.isOwn(ip) {
		return // a bridge above the TAP answers for it too
	}
	if b, taken := r.elsewhere(ip, mac); taken {
		if b.Origin != fdb.Endpoint {
			return // no station takes what a host or the operator has; the proxy counts it
		}
		r.alarm.Error().Stringer("vni", r.vni).Stringer("ip", ip).Strs("macs", []string{b.MAC.String(), mac.String()}).
			Msg("a station here says that it has an IP address of another host's station; not announced before that lets it go")
	}
	if len(s.ips) >= maxResidentIPs {
		if !r.crowded {
			r.crowded = true
			r.alarm.Error().Stringer("vni", r.vni).Stringer("mac", mac).Int("ips", maxResidentIPs).Msg("a station has too many IP addresses; no more of them are announced")
		}
		return
	}
	if was, ok := r.owners[ip]; ok {
		if r.past.frozen(ip, now) {
			return
		}
		if r.past.moved(ip, now) {
			r.alarm.Error().Stringer("vni", r.vni).Stringer("ip", ip).Strs("macs", []string{was.String(), mac.String()}).
				Msg("one IP address is on two stations; it stays where it is for a while")
			return
		}
		r.unbind(was, ip)
	}
	r.owners[ip] = mac
	s.ips = append(s.ips, residentIP{Addr: ip, told: now})
	slices.SortFunc(s.ips, func(a, b residentIP) int { return a.Compare(b.Addr) })
	r.dirty[mac] = struct{}{}
}

// lease takes in which subnets this host has now: no station has their own
// addresses.
func (r *roster) lease(own subnets) {
	r.own = own
	for _, s := range own.prefixes() {
		if mac, ok := r.owners[s.Addr()]; ok {
			r.unbind(mac, s.Addr())
		}
	}
}

func (r *roster) isOwn(ip netip.Addr) bool {
	return ip == r.own.v4.Addr() || ip == r.own.v6.Addr()
}

// elsewhere returns the binding of an address to another host's station. Whoever
// had it first has it, however old its own key is.
func (r *roster) elsewhere(ip netip.Addr, mac ether.Addr) (arpproxy.Binding, bool) {
	if r.tables == nil {
		return arpproxy.Binding{}, false
	}
	b, ok := r.tables.ARP.Lookup(r.vni, ip)
	return b, ok && b.MAC != mac
}

func (r *roster) unbind(mac ether.Addr, ip netip.Addr) {
	delete(r.owners, ip)
	s := r.stations[mac]
	s.ips = slices.DeleteFunc(s.ips, func(a residentIP) bool { return a.Addr == ip })
	r.dirty[mac] = struct{}{}
}

func (s *resident) index(ip netip.Addr) int {
	return slices.IndexFunc(s.ips, func(a residentIP) bool { return a.Addr == ip })
}

// hear takes in new tables. What was sighted before they were published must
// have been taken in: a frame of a station that has left would bring it back.
func (r *roster) hear(t *Tables, now time.Time) {
	r.tables = t
	maps.Copy(r.dirty, r.contested)
	clear(r.contested)
	for mac, s := range r.stations {
		e, ok := t.FDB.Lookup(r.vni, mac)
		switch {
		case !ok || e.VTEP == nil:
		case e.Origin != fdb.Endpoint:
			r.refuse(mac, e, now)
			r.remove(mac)
		case s.lostTo(e, t.Rev):
			r.moved(mac, e, now)
			r.remove(mac)
			r.lost = true
			r.log.Debug().Stringer("vni", r.vni).Stringer("mac", mac).Stringer("vtep", e.VTEP.To).Msg("station moved to another host")
		}
	}
}

// lostTo reports whether tables that say that a station is behind another host
// know of what this host announces.
func (s *resident) lostTo(e fdb.Entry, rev int64) bool {
	return e.Seq > s.seq || s.rev != 0 && rev >= s.rev
}

func (r *roster) remove(mac ether.Addr) {
	s := r.stations[mac]
	if s == nil {
		return
	}
	for _, a := range s.ips {
		delete(r.owners, a.Addr)
	}
	delete(r.stations, mac)
	r.dirty[mac] = struct{}{}
}

// adopt takes in a station that an earlier run announced: it is there until it
// has been silent for long enough.
func (r *roster) adopt(mac ether.Addr, v endpointValue, now time.Time) {
	if r.stations[mac] != nil || len(r.stations) >= maxResidents {
		return
	}
	s := &resident{seen: now, since: v.since, seq: v.seq}
	for _, ip := range v.ips {
		if _, taken := r.owners[ip]; !taken && !r.isOwn(ip) && len(s.ips) < maxResidentIPs {
			r.owners[ip] = mac
			s.ips = append(s.ips, residentIP{Addr: ip, told: now})
		}
	}
	slices.SortFunc(s.ips, func(a, b residentIP) int { return a.Compare(b.Addr) })
	r.stations[mac] = s
}

// age drops stations and addresses that have been silent for too long, and
// returns what is to be asked of those that may be next.
func (r *roster) age(now time.Time) (ask []question) {
	for mac, s := range r.stations {
		if now.Sub(s.seen) >= r.maxAge {
			r.remove(mac)
			continue
		}
		for _, a := range slices.Clone(s.ips) {
			if now.Sub(a.told) >= r.maxAge {
				r.unbind(mac, a.Addr)
			}
		}
		for i := range s.ips {
			a := &s.ips[i]
			if len(ask) < maxAsks && now.Sub(a.told) >= r.part(askAt) && now.Sub(a.asked) >= r.part(askEach) {
				a.asked = now
				ask = append(ask, question{a.Addr, mac})
			}
		}
	}
	r.full = r.full && len(r.stations) >= maxResidents
	r.past.age(now)
	for mac, at := range r.refused {
		if now.Sub(at) >= holdDown {
			delete(r.refused, mac)
		}
	}
	return ask
}

// excuse takes time in which nobody listened for no station's silence.
func (r *roster) excuse(deaf time.Duration) {
	for _, s := range r.stations {
		s.seen = s.seen.Add(deaf)
		for i := range s.ips {
			s.ips[i].told = s.ips[i].told.Add(deaf)
		}
	}
}

func (r *roster) part(of float64) time.Duration { return time.Duration(of * float64(r.maxAge)) }

// value is what is to be announced of a station; ok is false for nothing.
func (r *roster) value(mac ether.Addr) (v endpointValue, ok bool) {
	s := r.stations[mac]
	if s == nil {
		return v, false
	}
	v = endpointValue{seq: s.seq, since: s.since.UTC().Truncate(time.Second)}
	for _, a := range s.ips {
		if _, taken := r.elsewhere(a.Addr, mac); taken {
			r.contested[mac] = struct{}{}
			continue
		}
		v.ips = append(v.ips, a.Addr)
	}
	return v, true
}
