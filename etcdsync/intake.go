package etcdsync

import (
	"bytes"
	"slices"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// intake reads keys and values and hands what they say to the board. A value
// that cannot be read costs its own key alone, and not even that if the key
// had a good one before. It belongs to one goroutine.
type intake struct {
	board     *board
	log       zerolog.Logger
	alarm     zerolog.Logger
	network   Network // that the agent runs with, and what of it changes live
	latest    Network // the last good one
	config    []byte  // its text in etcd, last seen
	configs   int64   // its revision
	configGen uint32  // of the list that had it last
	noConfig  bool    // it is missing, and that was said
	bad       map[string]badKey
	gen       uint32 // of the list being read
	before    int    // rows there were when it began
	frozen    bool   // what is there stays, see freeze
	dirty     bool   // the board differs from the tables made last
	counts    *counts
}

// badKey is a key whose latest value cannot be used.
type badKey struct {
	rev  int64
	gen  uint32
	twin bool // see isTwin
}

func newIntake(c *FollowConfig, log zerolog.Logger) *intake {
	in := &intake{
		board: newBoard(newIdentity(c), log), log: log, alarm: limited(log),
		network: c.Network, latest: c.Network, bad: make(map[string]badKey), dirty: true, counts: new(counts),
	}
	in.board.census.put(in.board.me.party(&c.Network))
	return in
}

// list takes in a key's value from a list. A list is the whole truth: what it
// says of a key counts also when a higher revision is known, since a cache may
// be of an etcd that was made anew and has grown since.
func (in *intake) list(name string, kv *mvccpb.KeyValue) {
	old := in.board.rows.get(name)
	b, bad := in.bad[name]
	switch {
	case name == configKey:
		in.configs = 0 // its text tells whether it is new
		in.putConfig(kv)
	case old != nil && in.frozen, !bad && old != nil && old.isOf(kv):
		in.mark(old)
	case bad && b.rev == kv.ModRevision:
		in.put(name, kv)
	default:
		in.read(name, kv, old)
	}
}

// put takes in a key's value. name is the key below the prefix. A revision
// that is known already is nothing new.
func (in *intake) put(name string, kv *mvccpb.KeyValue) {
	if name == configKey {
		in.putConfig(kv)
		return
	}
	old := in.board.rows.get(name)
	if b, ok := in.bad[name]; ok && kv.ModRevision <= b.rev {
		b.gen = in.gen
		in.bad[name] = b
		in.mark(old)
		return
	}
	if old != nil && kv.ModRevision <= old.rev {
		in.mark(old)
		return
	}
	in.read(name, kv, old)
}

// mark says that the list being read has a row.
func (in *intake) mark(r *row) {
	if r != nil {
		r.gen = in.gen
	}
}

// read takes in a value that is new.
func (in *intake) read(name string, kv *mvccpb.KeyValue, old *row) {
	k, err := parseKey(name)
	var r *row
	if err == nil {
		r, err = newRow(k, kv.Value, &in.board.me, &in.network)
	}
	if r != nil {
		r.stamp(name, kv)
	}
	if err != nil {
		if old != nil && old.created == kv.CreateRevision {
			in.mark(old) // else the key was deleted meanwhile, and made anew
		}
		in.refuse(name, kv, err)
		if r != nil && isTwin(err) {
			in.board.census.take(r)
		}
		in.tidy(name)
		return
	}
	in.dirty = in.dirty || r != nil || old != nil || in.isBad(name)
	delete(in.bad, name)
	in.counts.took(old != nil, r != nil)
	if r == nil {
		in.board.remove(name) // a lease of another backend, for example
		in.tidy(name)
		return
	}
	in.board.census.take(r)
	r.gen = in.gen
	in.board.set(name, r)
	in.mark(in.board.rows.get(name))
}

func (in *intake) isBad(name string) bool {
	_, bad := in.bad[name]
	return bad
}

// refuse remembers that a value cannot be used, and says so once.
func (in *intake) refuse(name string, kv *mvccpb.KeyValue, err error) {
	in.bad[name] = badKey{kv.ModRevision, in.gen, isTwin(err)}
	in.counts.refused.Add(1)
	in.dirty = true
	in.alarm.Warn().Err(err).Str("key", name).Int64("rev", kv.ModRevision).Msg("key skipped: its value cannot be used")
}

// drop takes a deleted key out.
func (in *intake) drop(name string, rev int64) {
	if name == configKey {
		in.dropConfig()
		return
	}
	if r := in.board.rows.get(name); r != nil && r.rev <= rev {
		in.counts.took(true, false)
		in.board.remove(name)
		in.dirty = true
	}
	if b, ok := in.bad[name]; ok && b.rev <= rev {
		delete(in.bad, name)
		in.dirty = true
	}
	in.tidy(name)
}

// tidy lets the census forget a key that is gone.
func (in *intake) tidy(name string) {
	if in.board.rows.get(name) == nil && !in.bad[name].twin {
		in.board.census.remove(name)
	}
}

// begin starts to read a list: what it lacks at its end is gone.
func (in *intake) begin() {
	in.gen++
	in.before = 0
	for r := range in.board.rows.all() {
		if !r.self() {
			in.before++
		}
	}
}

// missing returns how many rows the list did not have, of how many there were
// before it. Our own do not count.
func (in *intake) missing() (missing, of int) {
	for r := range in.board.rows.all() {
		if !r.self() && r.gen != in.gen {
			missing++
		}
	}
	return missing, in.before
}

// sweep takes out what the list did not have.
func (in *intake) sweep() {
	var lost []string
	for r := range in.board.rows.all() {
		if r.gen != in.gen {
			in.counts.took(true, false)
			lost = append(lost, r.name())
		}
	}
	for _, name := range lost {
		in.board.remove(name)
		in.tidy(name)
		in.dirty = true
	}
	for name, b := range in.bad {
		if b.gen != in.gen {
			delete(in.bad, name)
			in.tidy(name)
			in.dirty = true
		}
	}
	if in.configGen != in.gen {
		in.dropConfig()
	}
}

// freeze keeps lists from changing what is there; they may add to it, and
// watch events may do anything.
func (in *intake) freeze() { in.frozen = true }

// forget forgets the revisions of what is there: those of another history say
// nothing about which value is newer.
func (in *intake) forget() {
	in.configs = 0
	clear(in.bad)
	for r := range in.board.rows.all() {
		r.rev = 0
	}
}

// thaw ends freeze.
func (in *intake) thaw() { in.frozen = false }

// putConfig takes in the network configuration. One that cannot be used
// changes nothing.
func (in *intake) putConfig(kv *mvccpb.KeyValue) {
	in.configGen = in.gen
	if kv.ModRevision <= in.configs {
		return
	}
	in.configs = kv.ModRevision
	if bytes.Equal(in.config, kv.Value) {
		return
	}
	in.config, in.noConfig = slices.Clone(kv.Value), false
	n, warnings, err := ParseNetwork(kv.Value)
	if err != nil {
		in.log.Error().Err(err).Int64("rev", kv.ModRevision).Msg("network configuration cannot be used; the last good one stands")
		return
	}
	if in.gen <= 1 {
		warnings = nil // who starts the agent has heard them
	}
	for _, w := range warnings {
		in.log.Warn().Msg("network configuration: " + w)
	}
	in.latest, in.dirty = n, true
	if restart := n.needsRestart(&in.network); len(restart) > 0 {
		in.log.Warn().Strs("fields", restart).Msg("network configuration changed in what needs a restart of the agents")
	}
	if in.network.takeLive(&n) {
		in.log.Info().Int64("rev", kv.ModRevision).Msg("network configuration changed")
	}
}

// dropConfig says that there is no network configuration, once.
func (in *intake) dropConfig() {
	if in.noConfig {
		return
	}
	in.config, in.configs, in.noConfig = nil, 0, true
	in.log.Error().Msg("there is no network configuration in etcd; the last one stands")
}
