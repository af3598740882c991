package doctor

import (
	"errors"
	"strings"
	"time"

	"github.com/uvtep/uvtep/etcdsync"
)

const (
	// slow is how long an answer of etcd may take.
	slow = 500 * time.Millisecond
	// skewed is how far clocks may differ. Leases run by etcd's clock alone, so
	// that it takes much to matter: certificates, and whoever reads logs.
	skewed = 30 * time.Second
	// soon is when a certificate is renewed best.
	soon = 7 * 24 * time.Hour
)

// checkEtcd tells of each endpoint whether it answers.
func checkEtcd(r *report, f *Facts) {
	answer, silent := 0, []etcdsync.Member(nil)
	clusters := map[uint64]bool{}
	var ours time.Time
	for _, m := range f.Etcd.Members {
		if m.Cluster != 0 {
			clusters[m.Cluster] = true
		}
		switch {
		case errors.Is(m.Err, etcdsync.ErrNoNetwork):
			answer++
			r.add(Error, "uvtep network init --network 10.10.0.0/16; or is --etcd-prefix right?", "etcd at %s holds no network configuration", m.Endpoint)
		case errors.Is(m.Err, etcdsync.ErrBadNetwork):
			answer++
			r.add(Error, "etcdctl put the configuration anew; see `uvtep network show`", "etcd at %s: %v", m.Endpoint, m.Err)
		case m.Err != nil:
			silent = append(silent, m)
		default:
			answer++
			if m.Took > slow {
				r.add(Note, "see to its disk and its network: etcdctl check perf", "etcd at %s took %s to answer", m.Endpoint, m.Took.Round(time.Millisecond))
			}
		}
		r.certificate("etcd's certificate at "+m.Endpoint, m.Ends, f.Now)
		if !m.Clients.IsZero() {
			ours = m.Clients // to all members the same
		}
	}
	r.certificate("the client certificate", ours, f.Now)
	for _, m := range silent {
		s := Warning
		if answer == 0 {
			s = Error
		}
		what, do, _ := strings.Cut(m.Err.Error(), "; ")
		if f.Etcd.Guessed {
			s, do = Note, "say where etcd is with --etcd-endpoints: the agent, which knows, did not tell"
		}
		r.add(s, do, "etcd at %s does not serve: %s", m.Endpoint, what)
	}
	if len(clusters) > 1 {
		r.add(Error, "name the members of one cluster with --etcd-endpoints", "the endpoints are of %s", counted(len(clusters), "cluster"))
	}
	for i := range f.Etcd.Records {
		if x := &f.Etcd.Records[i]; x.Fault != "" {
			r.add(Warning, "etcdctl del it, or have its host write it anew", "the key %s cannot be used: %s", x.Key, x.Fault)
		}
	}
	if answer > 0 && f.Etcd.Err != nil {
		r.add(Warning, "let the user read all below the prefix; docs/etcd.md has the role", "the subnets cannot be listed: %v", f.Etcd.Err)
	}
	if answer > 0 {
		r.ok("etcd answers at %s", counted(answer, "endpoint"))
	}
}

// certificate tells that one runs out. The zero Time is none.
func (r *report) certificate(what string, ends, now time.Time) {
	switch left := ends.Sub(now); {
	case ends.IsZero() || left > soon:
	case left <= 0:
		r.add(Error, "renew it; no restart is needed", "%s ran out at %s", what, ends.Format(time.RFC3339))
	default:
		r.add(Warning, "renew it; no restart is needed", "%s runs out at %s", what, ends.Format(time.RFC3339))
	}
}

// checkClock compares this host's clock with etcd's, where a member tells.
func checkClock(r *report, f *Facts) {
	told := false
	for _, m := range f.Etcd.Members {
		if !m.ClockKnown {
			continue
		}
		told = true
		if m.Ahead.Abs() > skewed {
			r.add(Warning, "timedatectl set-ntp true, here and there", "this host's clock and that of etcd at %s differ by %s: certificates may seem not yet or no longer valid, and times in logs do not fit", m.Endpoint, m.Ahead.Abs().Round(time.Second))
		}
	}
	if told {
		r.ok("this host's clock is etcd's to within %s", skewed)
	}
}
