package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// pageSize is the least number of keys asked for at once. At a few hundred
	// bytes a key a page is far below what a message may hold.
	pageSize = 1000
	// A long list is read in about pages parts: with each one etcd counts all
	// that is left, which makes many small parts of a million keys expensive.
	pages       = 16
	maxPageSize = 50000
)

// Store is a connection to etcd, as one network's hosts see it. Its methods
// may be called by several goroutines at once.
type Store struct {
	*connection
	prefix string // ends with a slash
	log    zerolog.Logger
	heard  atomic.Pointer[Heard]
	counts counts
}

// connection is a connection to etcd, which the Stores of several networks may
// share.
type connection struct {
	opts    Options
	lines   *lines
	outage  outage
	watches atomic.Uint64 // opened so far, see watch
	alive   atomic.Int64  // when etcd answered last, in nanoseconds of Unix time
	login   chan struct{} // full while somebody makes a client, which takes no lock

	mu       sync.Mutex
	client   *clientv3.Client // nil until the first call; guarded by mu
	outdated bool             // the client's login is refused; guarded by mu
	closed   bool             // guarded by mu
}

var errClosed = errors.New("the connection to etcd is closed")

// Dial makes a Store. It returns at once, also when no member of etcd
// answers: an error is one of the options.
func Dial(o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.complete()
	c := &connection{opts: o, lines: newLines(), login: make(chan struct{}, 1), outage: outage{log: o.Log, endpoints: o.Endpoints}}
	return &Store{connection: c, prefix: o.Prefix + "/", log: o.Log}, nil
}

// ValidName reports whether a network can have this name, as a part of its keys:
// letters, digits and -_. that do not begin with a dot, and none of the names that
// a network without one has below its prefix.
func ValidName(name string) error {
	if name == "" || len(name) > maxName || name[0] == '.' || strings.Trim(name, nameLetters) != "" {
		return fmt.Errorf("network name %q: want 1 to %d letters, digits and -_. that do not begin with a dot", name, maxName)
	}
	if name+"/" == subnetsDir || name == configKey || strings.HasPrefix(hostsDir, name+"/") {
		return fmt.Errorf("network name %q: the keys of a network without a name are there; choose another", name)
	}
	return nil
}

const (
	maxName     = 64
	nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
)

// Named returns the network of that name below the prefix, over the same
// connection, which is the Store's to close that was dialled. "" is the Store's own.
func (s *Store) Named(name string, log zerolog.Logger) *Store {
	n := &Store{connection: s.connection, prefix: s.prefix, log: log}
	if name != "" {
		n.prefix += name + "/"
	}
	return n
}

// KeyPrefix is what every key of the network begins with, without a slash at its
// end.
func (s *Store) KeyPrefix() string { return strings.TrimSuffix(s.prefix, "/") }

// Close ends the connection. What runs on it must have ended before.
func (s *connection) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.client == nil {
		return nil
	}
	return s.client.Close()
}

// dial returns the client, made if there is none, or none whose login is good.
// Making one may take a request (to log in) and so may fail. One caller does, the
// others wait for it until their ctx ends.
func (s *connection) dial(ctx context.Context) (*clientv3.Client, error) {
	if c, err := s.current(); c != nil || err != nil {
		return c, err
	}
	select {
	case s.login <- struct{}{}:
		defer func() { <-s.login }()
	case <-ctx.Done():
		return nil, fmt.Errorf("log in to etcd: %w", ctx.Err())
	}
	if c, err := s.current(); c != nil || err != nil { // another has made it meanwhile
		return c, err
	}
	c, err := s.newClient(ctx)
	if err != nil {
		return nil, err
	}
	return s.adoptClient(c)
}

// current returns the client, nil when there is none whose login is good.
func (s *connection) current() (*clientv3.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.outdated {
		return nil, nil
	}
	return s.client, nil
}

// adoptClient puts a client in the place of the one that there was.
func (s *connection) adoptClient(c *clientv3.Client) (*clientv3.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // while it logged in
		return nil, errors.Join(errClosed, c.Close())
	}
	if s.client != nil {
		_ = s.client.Close()
	}
	s.client, s.outdated = c, false
	return c, nil
}

// newClient makes a client, with the password as it is now. Login ends with
// ctx; the client does not.
func (s *connection) newClient(ctx context.Context) (*clientv3.Client, error) {
	q := &query{lines: s.lines}
	life, end := context.WithCancel(q.in(context.Background()))
	unhook := context.AfterFunc(ctx, end)
	c, err := s.opts.newClient(life, s.lines)
	if err != nil {
		end()
		return nil, fmt.Errorf("log in to etcd: %w", s.explain(err, q.cause()))
	}
	if !unhook() {
		return nil, errors.Join(ctx.Err(), c.Close())
	}
	return c, nil
}

// answered notes that etcd did something for us.
func (s *connection) answered() { s.alive.Store(time.Now().UnixNano()) }

// failed tells of an error. After several in a row, and nothing else that
// works, the client is given up: the fault may be its own (a connection that
// hangs). Whatever still uses it fails and tries again with the next. One that
// cannot log in any more, for it keeps the password that it was made with,
// stays until the next is in: a watch goes on without a good token.
func (s *connection) failed(p *pacer, err error) {
	s.outage.failed(err)
	if badLogin(err) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.outdated = true
		return
	}
	if p.worn() && time.Since(time.Unix(0, s.alive.Load())) >= calm {
		s.Redial()
	}
}

// Redial gives up the connection: the next request makes a new one, and what is
// under way on the old one fails and is tried again. It is of use to who knows
// that the connection is dead, as when the host's address is another.
func (s *connection) Redial() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil && !s.closed {
		_ = s.client.Close()
		s.client = nil
	}
}

// do makes a request, which must do no harm when it is made twice. A member
// that is silent altogether costs its timeout once: its connection is closed,
// and another member asked. A token that ran out on the way is replaced once:
// etcd's client logs in for each stream, and does for other requests by itself.
func (s *connection) do(ctx context.Context, request func(context.Context, *clientv3.Client) error) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	silent, err := s.once(ctx, c, request)
	if silent && len(s.opts.Endpoints) > 1 || errors.Is(err, rpctypes.ErrInvalidAuthToken) {
		_, err = s.once(ctx, c, request)
	}
	return err
}

// once makes a request, and reports whether it failed because a member was
// silent.
func (s *connection) once(ctx context.Context, c *clientv3.Client, request func(context.Context, *clientv3.Client) error) (silent bool, err error) {
	q := &query{lines: s.lines}
	timed, cancel := context.WithTimeout(q.in(ctx), s.opts.DialTimeout)
	defer cancel()
	if err = request(timed, c); err == nil {
		s.answered()
		return false, nil
	}
	silent = timed.Err() != nil && ctx.Err() == nil && q.cutSilent(s.opts.DialTimeout)
	return silent, s.explain(err, q.cause())
}

// get reads a key or a range, relative to the prefix.
func (s *Store) get(ctx context.Context, name string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	var r *clientv3.GetResponse
	err := s.do(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		r, err = c.Get(ctx, s.prefix+name, opts...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %q from etcd: %w", s.prefix+name, err)
	}
	return r, nil
}

// commit runs a transaction. What it compares decides whether its operations
// run, so that a transaction that is repeated because its answer was lost does
// no harm.
func (s *Store) commit(ctx context.Context, t txn) (*clientv3.TxnResponse, error) {
	var r *clientv3.TxnResponse
	err := s.do(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		r, err = c.Txn(ctx).If(t.compare...).Then(t.then...).Else(t.otherwise...).Commit()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.what(s.prefix), err)
	}
	if r.Succeeded && t.writes() {
		s.outage.accepted()
	}
	return r, nil
}

// txn is a transaction to commit.
type txn struct {
	compare         []clientv3.Cmp
	then, otherwise []clientv3.Op
}

// writes reports whether the transaction writes when it succeeds.
func (t txn) writes() bool { return slices.ContainsFunc(t.then, isWrite) }

func isWrite(o clientv3.Op) bool { return o.IsPut() || o.IsDelete() }

// what says what the transaction does, for people.
func (t txn) what(prefix string) string {
	var keys []string
	for _, o := range slices.Concat(t.then, t.otherwise) {
		keys = append(keys, strings.TrimPrefix(string(o.KeyBytes()), prefix))
	}
	names := fmt.Sprintf("%.200s", strings.Join(keys, ", "))
	if t.writes() {
		return "write " + names + " to etcd"
	}
	return "read " + names + " from etcd"
}

// list reads all keys below a folder ("" is all of the network) in pages, all
// of them at one revision, and returns where in history that is. Each page, in
// the order of the keys, is handed to page; an empty one if there is no key.
func (s *Store) list(ctx context.Context, dir string, page func(header, []*mvccpb.KeyValue)) (at header, err error) {
	end := clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.prefix + dir))
	limit := int64(pageSize)
	for from := dir; ; {
		r, err := s.get(ctx, from, end, clientv3.WithLimit(limit), clientv3.WithRev(at.rev))
		if err != nil {
			return header{}, err
		}
		if at.rev == 0 {
			at = headerOf(r.Header)
			limit = min(max(pageSize, r.Count/pages), maxPageSize)
		}
		page(at, r.Kvs)
		if !r.More || len(r.Kvs) == 0 {
			return at, nil
		}
		from = s.name(r.Kvs[len(r.Kvs)-1]) + "\x00"
	}
}

// name returns a key without the prefix.
func (s *Store) name(kv *mvccpb.KeyValue) string { return string(kv.Key[len(s.prefix):]) }

// header is a place in etcd's history.
type header struct {
	cluster uint64
	rev     int64
}

func headerOf(h *etcdserverpb.ResponseHeader) header { return header{h.ClusterId, h.Revision} }

// outage tells once that etcd is away and once that it is back, for all who
// use a Store.
type outage struct {
	log       zerolog.Logger
	endpoints []string

	mu      sync.Mutex
	since   time.Time            // zero: etcd is there; guarded by mu
	told    map[string]bool      // what was said since; guarded by mu
	refused map[string]time.Time // what etcd refused, and when that was said; guarded by mu
}

const (
	// maxTold bounds how many different errors of one outage are told.
	maxTold = 8
	// refusedEvery is how often the same refusal is told.
	refusedEvery = 10 * time.Minute
)

// AwaySince returns since when etcd has not answered as it should; the zero Time
// when it does.
func (s *connection) AwaySince() time.Time {
	s.outage.mu.Lock()
	defer s.outage.mu.Unlock()
	return s.outage.since
}

// over says that etcd answers.
func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		o.log.Info().Dur("after", time.Since(o.since)).Msg("etcd answers again")
	}
	o.since, o.told = time.Time{}, nil
}

// failed says that etcd did not answer, or not as it should.
func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if denied(err) {
		o.refuse(err)
		return
	}
	if o.told == nil {
		o.since, o.told = time.Now(), make(map[string]bool)
	}
	if text := err.Error(); !o.told[text] && len(o.told) < maxTold {
		o.told[text] = true
		o.log.Warn().Err(err).Strs("endpoints", o.endpoints).Msg("etcd does not answer; trying again, what is known stays in force")
	}
}

// refuse says that etcd does not let us do something, while it may serve us
// otherwise.
func (o *outage) refuse(err error) {
	maps.DeleteFunc(o.refused, func(_ string, at time.Time) bool { return time.Since(at) > refusedEvery })
	text := err.Error()
	if _, told := o.refused[text]; told || len(o.refused) >= maxTold {
		return
	}
	if o.refused == nil {
		o.refused = make(map[string]time.Time)
	}
	o.refused[text] = time.Now()
	o.log.Error().Err(err).Msg("etcd refuses; trying again, what is known stays in force")
}

// accepted says that etcd took a write after it had refused something.
func (o *outage) accepted() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refused != nil {
		o.log.Info().Msg("etcd takes what we write again")
	}
	o.refused = nil
}
