package etcdsync

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Registration is a host's place in the network. Its methods may be called
// while Run runs.
type Registration struct {
	store   *Store
	log     zerolog.Logger
	alarm   zerolog.Logger // limited
	updated chan struct{}  // Update was called
	living  *lifeline      // the liveness lease, for who binds keys to it

	mu      sync.Mutex
	claim   Claim        // its addresses are those of the last Update, guarded by mu; the rest stays
	past    []netip.Addr // addresses it ever had, guarded by mu
	subnets subnets      // held; guarded by mu
	expires time.Time    // of the subnet's lease; guarded by mu
	lives   time.Time    // until when the liveness lease lasts; guarded by mu

	// What follows belongs to the goroutine of Acquire, then of Run.
	unconfirmed bool   // the network is to be compared with etcd's first
	key         string // of the subnet below the prefix; empty: none yet
	keyRev      int64  // of the value that is ours
	hostRev     int64  // of the host record that is ours
	tenancy     tenancy
	liveness    tenancy
	reservation bool
	lost        subnets   // taken from us by somebody
	stolen      int64     // revision of a value of somebody else's under our key
	copySaid    time.Time // when a host with our node id was told of
}

func newRegistration(s *Store, c Claim) *Registration {
	return &Registration{
		store: s, log: s.log, alarm: limited(s.log), claim: c, updated: make(chan struct{}, 1), living: newLifeline(),
		unconfirmed: c.Unconfirmed, tenancy: tenancy{ttl: c.LeaseTTL}, liveness: tenancy{ttl: c.LivenessTTL},
		past: []netip.Addr{c.PublicIP, c.PublicIPv6},
	}
}

// Subnet returns the host's IPv4 subnet, the zero Prefix when it has none.
func (r *Registration) Subnet() netip.Prefix { return r.held().v4 }

// Subnet6 returns the host's IPv6 subnet, the zero Prefix when it has none.
func (r *Registration) Subnet6() netip.Prefix { return r.held().v6 }

func (r *Registration) held() subnets {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.subnets
}

// Expires returns when the subnet's lease would run out if it were not kept
// alive; the zero Time for a reservation, which has no lease.
func (r *Registration) Expires() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.expires
}

// Lives returns when the lease of the host record would run out if it were not
// kept alive; the zero Time before there is one.
func (r *Registration) Lives() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lives
}

func (r *Registration) livesUntil(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lives = t
}

// Update changes the host's addresses, in etcd as soon as it can be reached.
// It does not wait. The addresses of the Claim are replaced; the subnet stays.
func (r *Registration) Update(publicIP, publicIPv6 netip.Addr) {
	r.mu.Lock()
	r.claim.PublicIP, r.claim.PublicIPv6 = publicIP.Unmap(), publicIPv6.Unmap()
	r.past = append(r.past, r.claim.PublicIP, r.claim.PublicIPv6)
	r.mu.Unlock()
	select {
	case r.updated <- struct{}{}:
	default:
	}
}

// wasOurs reports whether a value can be our own: no other host with our node
// id (a copy of this one) has our addresses.
func (r *Registration) wasOurs(v4, v6 netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.past, v4) && slices.Contains(r.past, v6)
}

// current returns the claim as it is now: with the subnets that the host holds
// as those to ask for again.
func (r *Registration) current() Claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.claim
	if !r.subnets.isZero() {
		c.Previous, c.Previous6 = r.subnets.v4, r.subnets.v6
	}
	return c
}

// took notes that a subnet is ours.
func (r *Registration) took(done *plan, key string, rev int64) {
	r.key, r.keyRev, r.reservation = key, rev, done.reservation()
	r.lost = subnets{}
	r.mu.Lock()
	r.subnets, r.expires = done.subnets, time.Time{}
	if !r.reservation {
		r.expires = r.tenancy.until
	}
	expires := r.expires
	r.mu.Unlock()
	if !done.inPlace() {
		for _, p := range done.subnets.prefixes() {
			r.log.Info().Msgf("create subnet: %s, net mask: %d", p.Addr(), p.Bits())
		}
	}
	if r.reservation {
		r.log.Info().Str("subnet", done.subnets.String()).Msg("subnet is a reservation: it does not expire")
		return
	}
	r.log.Info().Str("subnet", done.subnets.String()).Msgf("subnet key expired in: %s", expires.Format(time.RFC3339))
}
