package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/state"
)

// remains is what an agent that has ended left on the host of one network.
type remains struct {
	name    string // of the network
	state   state.Dir
	network *etcdsync.Network // nil: none is known here
	taps    []string          // that may be its, of all VNIs that it ever had here
	env     string            // path of the subnet file
}

// remainsIn finds what is left of the networks of a state directory, first of the
// one that has no name, which may be nothing.
func remainsIn(dir state.Dir, subnetFile string) ([]*remains, error) {
	all := []*remains{{state: dir, env: subnetFile}}
	names, err := dir.Networks()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		all = append(all, &remains{name: name, state: dir.Of(name), env: envPath(subnetFile, name)})
	}
	for _, r := range all {
		if err := r.look(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// look reads what is known of the network. Its configuration may have changed since
// the TAP was made.
func (r *remains) look() error {
	_, text, err := r.state.LastNetwork()
	if err != nil {
		return err
	}
	vnis, err := r.state.VNIs()
	if n, _, err := etcdsync.ParseNetwork(text); text != nil && err == nil {
		r.network, vnis = &n, append(vnis, n.VNI)
	}
	slices.Sort(vnis)
	for _, v := range slices.Compact(vnis) {
		r.taps = append(r.taps, tapName("", v))
	}
	return err
}

// leaveHost removes what is on the host, and says what that was. Only what is ours
// is touched.
func (r *remains) leaveHost(h *hostnet.Host, keepFile bool) (gone []string, err error) {
	var errs []error
	for _, tap := range r.taps {
		there, err := removeTAP(h, tap)
		if there && err == nil {
			gone = append(gone, tap+" with its routes")
		}
		errs = append(errs, err, h.RemoveMasquerade(tap))
	}
	if !keepFile {
		there, err := r.removeFile()
		if there && err == nil {
			gone = append(gone, r.env)
		}
		errs = append(errs, err)
	}
	return gone, errors.Join(errs...)
}

// removeTAP removes a TAP, and with it its addresses and routes.
func removeTAP(h *hostnet.Host, tap string) (there bool, err error) {
	l, err := h.FindLink(tap)
	if errors.Is(err, hostnet.ErrNoLink) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !l.Ours {
		return false, fmt.Errorf("%s is not a TAP of uvtep's: left alone", tap)
	}
	return true, h.DeleteLink(tap)
}

// removeFile removes the subnet file, if it says what this host had.
func (r *remains) removeFile() (there bool, err error) {
	v4, v6, err := r.state.Subnet()
	if err != nil || !v4.IsValid() && !v6.IsValid() {
		return false, err
	}
	env, err := hostnet.ReadSubnetEnv(r.env)
	if err != nil || env.Subnet.Masked() != v4 || env.IPv6Subnet.Masked() != v6 {
		return false, nil // none, or somebody else's
	}
	if err := os.Remove(r.env); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	return true, nil
}

// served reports whether an agent serves the network's port.
func (r *remains) served() (bool, error) {
	if r.network == nil {
		return false, nil
	}
	return underlay.Served(r.network.Port)
}

// sweep removes what earlier runs left on the host of networks that this one does
// not join: frames would go on being led into a TAP that nobody reads. What is
// theirs in etcd runs out by itself, and their state stays.
func (a *agent) sweep() {
	all, err := remainsIn(a.state, a.subnetFile)
	if err != nil {
		a.log.Warn().Err(err).Msg("networks of earlier runs cannot be looked for")
		return
	}
	for _, r := range all {
		if slices.ContainsFunc(a.members, func(m *member) bool { return m.name == r.name }) {
			continue
		}
		r.taps = slices.DeleteFunc(r.taps, func(tap string) bool {
			return slices.ContainsFunc(a.members, func(m *member) bool { return m.mayHave(tap) })
		})
		if served, err := r.served(); served || err != nil {
			continue // another agent's
		}
		gone, err := r.leaveHost(a.host, false)
		if err != nil {
			a.log.Warn().Err(err).Str("network", r.name).Msg("what is left here of a network that is not joined any more could not be removed")
		}
		if len(gone) > 0 {
			a.log.Info().Str("network", r.name).Strs("removed", gone).Msg("the network is not joined any more; what was left of it here is removed")
		}
	}
}

// leaveFormer removes the TAP of the last run where this one's has another name, as
// that of another VNI has: frames would go on being led into it. It is known by its
// index too, and left alone if a program has it open.
func (m *member) leaveFormer() {
	tap, index, err := m.state.TAP()
	if err != nil {
		m.log.Warn().Err(err).Msg("the TAP of the last run is not known")
	}
	if tap == "" || tap == tapName(m.tap, m.network.VNI) {
		return
	}
	if l, err := m.host.FindLink(tap); err != nil || l.Index != index || l.Carrier {
		return
	}
	_, err = removeTAP(m.host, tap)
	if err := errors.Join(err, m.host.RemoveMasquerade(tap)); err != nil {
		m.log.Warn().Err(err).Str("tap", tap).Msg("what the last run left could not be removed; `ip link delete` the TAP")
		return
	}
	m.log.Info().Str("tap", tap).Msg("the TAP has another name than in the last run; that one is removed, with its routes")
}

// mayHave reports whether a TAP is that of the member, as far as that is known.
func (m *member) mayHave(tap string) bool {
	n, known := m.lastNetwork()
	return m.tap != "" && m.tap == tap || known && tapName(m.tap, n.VNI) == tap
}
