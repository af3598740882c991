package etcdsync

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// lookEvery is how often sightings are taken in: a new station is in etcd
	// within twice that.
	lookEvery = 50 * time.Millisecond
	// writeEvery is the least time between two transactions, and maxOps how many
	// keys one of them writes (etcd takes 128 unless told otherwise).
	writeEvery = 200 * time.Millisecond
	maxOps     = 100
	// ageEvery is how often stations are looked over for silent ones, and
	// againEach of the time that a station may be silent the data path tells of
	// all of them once more.
	ageEvery  = time.Second
	againEach = 1.0 / 30
)

// Stations says which stations are behind a host, and how they are asked.
type Stations interface {
	// Drain calls see with what was sighted since the last call: a station's
	// MAC address, and an IP address that it said is its own, if it did.
	Drain(see func(ether.Addr, netip.Addr))
	// Again has every station sighted once more with its next frame.
	Again()
	// Ask asks a station whether it still has an address. Its answer is a
	// sighting.
	Ask(ip netip.Addr, mac ether.Addr)
}

// Endpoints announces the stations behind this host in etcd, bound to the host's
// liveness. Its methods may be called while Run runs.
type Endpoints struct {
	registration *Registration
	stations     Stations // nil: there are none
	roster       *roster
	nodeID       string

	mu     sync.Mutex
	latest *Tables // guarded by mu
	heard  bool    // latest was taken in; guarded by mu

	// What follows belongs to the goroutine of Run.
	keys  map[ether.Addr]ownKey
	wrote time.Time // last
	aged  time.Time
	again time.Time
	saw   time.Time // when sightings were taken in last
}

// ownKey is a key of this host as etcd has it. A deleted one is remembered
// until its event comes.
type ownKey struct {
	rev     int64
	value   string // "" when it is deleted
	tenancy clientv3.LeaseID
}

// NewEndpoints returns the endpoints of a host with a place in the network. A
// station that is silent for maxAge is not announced any more, 0 means 300
// seconds. Without stations (nil) Run removes what an earlier run announced.
func NewEndpoints(r *Registration, s Stations, maxAge time.Duration) *Endpoints {
	c := r.current()
	e := &Endpoints{
		registration: r, stations: s, nodeID: c.NodeID, keys: make(map[ether.Addr]ownKey),
		roster: newRoster(c.Network.VNI, c.MAC, r.log),
	}
	e.roster.name = holderName(c.NodeID, c.PublicIP, c.PublicIPv6) + " (this host)"
	if maxAge > 0 {
		e.roster.maxAge = maxAge
	}
	return e
}

// Hear takes in tables. It does not wait.
func (e *Endpoints) Hear(t *Tables) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.latest, e.heard = t, false
}

// news returns tables that were not taken in yet, nil when there are none.
func (e *Endpoints) news() *Tables {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heard {
		return nil
	}
	e.heard = true
	return e.latest
}

// Run announces until ctx ends, and returns nil then. Nothing is withdrawn: it
// runs out, or a restart finds it.
func (e *Endpoints) Run(ctx context.Context) error {
	var p pacer
	for {
		p.begin()
		err := e.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil: // there is nothing to announce, ever
			<-ctx.Done()
			return nil
		case errors.Is(err, errUpdated):
			continue
		case errors.Is(err, errKeyTouch), errors.Is(err, errRaced), errors.Is(err, rpctypes.ErrLeaseNotFound):
			e.registration.log.Debug().Err(err).Msg("announcing the stations here anew")
		default:
			e.registration.store.failed(&p, err)
		}
		if !p.wait(ctx) {
			return nil
		}
	}
}

// session reads what this host announces and then keeps it in line with what is
// there, until that cannot be told any more or the host has another liveness
// lease.
func (e *Endpoints) session(ctx context.Context) error {
	tenancy, changed, err := e.registration.living.wait(ctx)
	if err != nil {
		return err
	}
	s, dir := e.registration.store, endpointsDir(e.nodeID, e.roster.vni)
	e.roster.lease(e.registration.held())
	at, err := e.list(ctx, dir)
	if err != nil {
		return err
	}
	if e.stations == nil && len(e.keys) == 0 {
		return nil
	}
	w := s.watch(ctx, at, []string{s.prefix + dir}, clientv3.WithPrefix())
	defer w.stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-changed:
			return errUpdated
		case answer, ok := <-w.C:
			if !ok {
				return w.err
			}
			if e.touched(dir, &answer) {
				return errKeyTouch
			}
		case now := <-tick.C:
			e.roster.lease(e.registration.held())
			e.look(now)
			if err := e.write(ctx, tenancy, now); err != nil {
				return err
			}
		}
	}
}

// list reads what this host announces. Stations that an earlier run announced
// are taken over.
func (e *Endpoints) list(ctx context.Context, dir string) (header, error) {
	clear(e.keys)
	now := time.Now()
	at, err := e.registration.store.list(ctx, dir, func(_ header, kvs []*mvccpb.KeyValue) {
		for _, kv := range kvs {
			k, err := parseKey(e.registration.store.name(kv))
			if err != nil || k.kind != endpoint {
				continue
			}
			e.keys[k.mac] = ownKey{kv.ModRevision, string(kv.Value), clientv3.LeaseID(kv.Lease)}
			v, err := parseEndpoint(kv.Value)
			if err == nil && e.stations != nil {
				e.roster.adopt(k.mac, v, now)
			}
		}
	})
	for mac, r := range e.roster.stations {
		r.rev = e.keys[mac].rev
		e.roster.dirty[mac] = struct{}{}
	}
	for mac := range e.keys {
		e.roster.dirty[mac] = struct{}{}
	}
	return at, err
}

// touched reports whether somebody changed a key of ours. Our own writes come
// by here as well.
func (e *Endpoints) touched(dir string, answer *clientv3.WatchResponse) bool {
	for _, ev := range answer.Events {
		k, err := parseKey(e.registration.store.name(ev.Kv))
		if err != nil {
			continue
		}
		known := e.keys[k.mac]
		if ev.Kv.ModRevision > known.rev {
			return true
		}
		if ev.Kv.ModRevision == known.rev && known.value == "" {
			delete(e.keys, k.mac)
		}
	}
	return false
}

// look takes in what was sighted and then, so that nothing that was sighted
// before them counts after them, the latest tables.
func (e *Endpoints) look(now time.Time) {
	if e.stations == nil {
		return
	}
	t := e.news()
	if deaf := now.Sub(e.saw); !e.saw.IsZero() && deaf > ageEvery { // etcd was away
		e.roster.excuse(deaf)
	}
	e.saw = now
	e.stations.Drain(func(mac ether.Addr, ip netip.Addr) { e.roster.see(mac, ip, now) })
	if t != nil {
		first := e.roster.tables == nil
		e.roster.hear(t, now)
		e.roster.lost = e.roster.lost || first // what was sighted before was not taken in
	}
	if now.Sub(e.aged) >= min(ageEvery, e.roster.part(askEach)) {
		e.aged = now
		for _, q := range e.roster.age(now) {
			e.stations.Ask(q.ip, q.mac)
		}
	}
	if e.roster.lost || now.Sub(e.again) >= e.roster.part(againEach) {
		e.roster.lost, e.again = false, now
		e.stations.Again()
	}
}

// write brings etcd in line, a transaction at a time.
func (e *Endpoints) write(ctx context.Context, tenancy clientv3.LeaseID, now time.Time) error {
	if len(e.roster.dirty) == 0 || now.Sub(e.wrote) < writeEvery {
		return nil
	}
	todo, err := e.changes(tenancy)
	if err != nil || len(todo.then) == 0 {
		return err
	}
	e.wrote = now
	answer, err := e.registration.store.commit(ctx, todo.txn)
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		return errRaced
	}
	for mac, value := range todo.values {
		e.keys[mac] = ownKey{answer.Header.Revision, value, tenancy}
		if s := e.roster.stations[mac]; s != nil {
			s.rev = answer.Header.Revision
		}
		delete(e.roster.dirty, mac)
	}
	return nil
}

// announcement is a transaction with what it writes; "" deletes.
type announcement struct {
	txn
	values map[ether.Addr]string
}

// changes returns what is to be written, each key on the condition that it is
// as it was.
func (e *Endpoints) changes(tenancy clientv3.LeaseID) (announcement, error) {
	a := announcement{values: make(map[ether.Addr]string)}
	dir := e.registration.store.prefix + endpointsDir(e.nodeID, e.roster.vni)
	for mac := range e.roster.dirty {
		if len(a.then) == maxOps {
			break
		}
		value := ""
		if v, ok := e.roster.value(mac); ok {
			b, err := v.marshal()
			if err != nil {
				return a, err
			}
			value = string(b)
		}
		is := e.keys[mac]
		if is.value == value && (value == "" || is.tenancy == tenancy) {
			delete(e.roster.dirty, mac)
			continue
		}
		key := dir + mac.String()
		if is.value == "" {
			a.compare = append(a.compare, clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
		} else {
			a.compare = append(a.compare, clientv3.Compare(clientv3.ModRevision(key), "=", is.rev))
		}
		if value == "" {
			a.then = append(a.then, clientv3.OpDelete(key))
		} else {
			a.then = append(a.then, clientv3.OpPut(key, value, clientv3.WithLease(tenancy)))
		}
		a.values[mac] = value
	}
	return a, nil
}

// lifeline says which etcd lease stands for the host being up.
type lifeline struct {
	mu      sync.Mutex
	id      clientv3.LeaseID // guarded by mu; 0: none yet
	changed chan struct{}    // guarded by mu; closed when id changes
}

func newLifeline() *lifeline { return &lifeline{changed: make(chan struct{})} }

func (l *lifeline) set(id clientv3.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id == l.id {
		return
	}
	l.id = id
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait returns the lease when there is one, and what is closed when it is
// another.
func (l *lifeline) wait(ctx context.Context) (clientv3.LeaseID, <-chan struct{}, error) {
	for {
		l.mu.Lock()
		id, changed := l.id, l.changed
		l.mu.Unlock()
		if id != 0 {
			return id, changed, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}
