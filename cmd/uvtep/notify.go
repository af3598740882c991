package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifyEvery is how often it is looked whether the service manager is to be told
// something new.
const notifyEvery = time.Second

// notify tells a service manager that starts the agent with Type=notify how it is,
// until ctx ends: sd_notify(3). Without one it does nothing.
func (a *agent) notify(ctx context.Context) error {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		a.log.Warn().Err(err).Msg("the service manager's watchdog is not served: WATCHDOG_USEC or WATCHDOG_PID cannot be read")
	}
	n := notifier{sick: a.web.sick, lost: a.web.lost, unready: a.web.unready, line: a.web.line, watchdog: watchdog}
	if told, err := n.tell("STATUS=starting"); err != nil {
		a.log.Warn().Err(err).Msg("the service manager cannot be told how the agent is; see to NOTIFY_SOCKET")
	} else if told {
		n.run(ctx)
	}
	<-ctx.Done()
	return nil
}

// notifier is who tells a service manager. It belongs to one goroutine.
type notifier struct {
	sick, lost, unready func() error
	line                func() string // how the agent is, in one line
	watchdog            time.Duration // after how long without a word the agent is restarted; 0: never

	ready bool      // that was told
	said  string    // the last line
	fed   time.Time // when the watchdog was told last
	every time.Duration
}

// tell sends words to the service manager, and says whether there is one.
func (n *notifier) tell(words string) (bool, error) { return daemon.SdNotify(false, words) }

// run tells what is new until ctx ends, and then that the agent stops.
func (n *notifier) run(ctx context.Context) {
	n.every = notifyEvery
	if n.watchdog > 0 {
		n.every = min(n.every, n.watchdog/2)
	}
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		if words := n.words(time.Now()); words != "" {
			_, _ = n.tell(words) // the manager may be restarting itself
		}
		select {
		case <-ctx.Done():
			_, _ = n.tell(daemon.SdNotifyStopping)
			return
		case <-tick.C:
		}
	}
}

// words is what is to be told now, "" for nothing. The watchdog is told at half of
// its time, and only while the agent is not lost: that it stays silent is what has the
// agent restarted.
func (n *notifier) words(now time.Time) (words string) {
	if !n.ready && n.unready() == nil {
		n.ready = true
		words += daemon.SdNotifyReady + "\n"
	}
	sick := n.sick()
	line := n.line()
	if sick != nil {
		line = sick.Error()
	}
	if line != n.said {
		n.said = line
		words += "STATUS=" + line + "\n"
	}
	if n.watchdog > 0 && n.lost() == nil && now.Sub(n.fed) >= n.watchdog/2-n.every/2 {
		n.fed = now
		words += daemon.SdNotifyWatchdog + "\n"
	}
	return words
}

// line is how the agent is, in one line.
func (v *vitals) line() string {
	if err := v.unready(); err != nil {
		return "waiting: " + err.Error()
	}
	var all []string
	for _, p := range v.planes() {
		all = append(all, p.line())
	}
	return strings.Join(all, "; ")
}

// line is how the network is, in one line.
func (p *plane) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tables == nil {
		return p.name + ": no tables yet"
	}
	s := fmt.Sprintf("%s: %s, revision %d", p.name, plural(p.tables.Peers.Len(), "peer"), p.tables.Rev)
	if since := p.awaySince(); !since.IsZero() {
		return s + ", etcd away since " + since.Format(time.DateTime)
	}
	return s + ", etcd connected"
}
