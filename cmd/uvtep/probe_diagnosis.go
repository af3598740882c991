package main

import (
	"fmt"
	"strings"
)

// diagnose says in words what the numbers mean, and what to do about it.
func (r *probeResult) diagnose() {
	r.OK, r.Diagnosis = false, ""
	switch {
	case r.VXLAN.Sent > 0:
		r.diagnoseAgent()
	default:
		r.diagnoseKernel()
	}
	if r.Diagnosis == "" {
		r.diagnoseSize()
	}
	if r.Diagnosis == "" {
		r.OK, r.Diagnosis = true, "ok"
	}
}

// diagnoseAgent is about a peer whose agent answers echoes in VXLAN.
func (r *probeResult) diagnoseAgent() {
	v, port := &r.VXLAN, r.port()
	switch {
	case v.Error != "":
		r.Diagnosis = fmt.Sprintf("the datagrams do not leave this host: %s", v.Error)
	case v.all():
		r.noteOthers()
	case v.Got > 0:
		r.Diagnosis = fmt.Sprintf("%s of the VXLAN datagrams are lost%s", percent(v.loss()), r.where())
		if r.UDP.none() {
			r.Notes = append(r.Notes, "plain UDP does not pass at all, but only probes need it")
		}
	case r.UDP.Got > 0 && v.Arrived > 0:
		r.Diagnosis = fmt.Sprintf("VXLAN gets to the peer but its answers are dropped on the way back, while plain UDP passes: let UDP to port %s into this host, and look for a firewall, hypervisor or switch that drops VXLAN", r.ownPort())
	case r.UDP.Got > 0:
		r.Diagnosis = fmt.Sprintf("VXLAN is dropped on the way to the peer, but plain UDP passes: let UDP to port %s into the peer, or look for a firewall, hypervisor or switch that drops VXLAN; another port in the network's configuration may pass", port)
	case r.Overlay.Got > 0:
		r.Diagnosis = "the overlay works, but the peer's agent does not answer: it may not know this host's record in etcd yet, or answer too many others"
	case r.Host.Got > 0:
		r.Diagnosis = fmt.Sprintf("the peer's agent does not answer, but its host does: see whether the agent runs there, and whether UDP to port %s may pass", port)
	default:
		r.Diagnosis = nothing
	}
}

const nothing = "nothing passes: the peer is down, or not reachable at its public address"

// noteOthers tells of what fails although VXLAN passes.
func (r *probeResult) noteOthers() {
	note := func(k kind, text string) {
		switch {
		case k.Error != "":
			r.Notes = append(r.Notes, k.name+" could not be tried: "+k.Error)
		case k.none():
			r.Notes = append(r.Notes, text)
		}
	}
	kinds := r.kinds()
	note(kinds[1], "plain UDP does not pass, but only probes need it")
	note(kinds[2], "the peer's own address in the overlay does not answer ICMP: its TAP may be a port of a bridge, or a firewall forbids it")
	note(kinds[3], "the peer's public address does not answer ICMP: a firewall may forbid it")
}

// diagnoseKernel is about a peer whose agent does not say how to probe it: what
// tells is its kernel.
func (r *probeResult) diagnoseKernel() {
	o := &r.Overlay
	r.Notes = append(r.Notes, r.whyKernel())
	switch {
	case o.Error != "":
		r.Diagnosis = "it could not be tried: " + o.Error
	case o.all():
	case o.Got > 0:
		r.Diagnosis = fmt.Sprintf("%s of what goes through the overlay is lost", percent(o.loss()))
	case o.none() && r.Host.Got > 0:
		r.Diagnosis = fmt.Sprintf("the peer's host answers, but nothing passes the overlay: see whether its agent or flanneld runs, and whether UDP to port %s may pass", r.port())
	case r.Host.Got > 0:
		r.Diagnosis = "the peer's host answers, but whether VXLAN passes cannot be told: one of the two hosts has no address in the overlay"
	default:
		r.Diagnosis = nothing
	}
}

// whyKernel is why the peer's agent is not asked.
func (r *probeResult) whyKernel() string {
	switch r.Peer.Agent {
	case peerOld:
		return "the peer's agent is of a version that answers no probes: its kernel is asked instead"
	case peerGone:
		return "the peer's agent has no record in etcd: it is down, or cut off from etcd; its kernel is asked instead"
	}
	return "the peer does not run uvtep as far as etcd knows: its kernel is asked instead"
}

// where says on which of the two ways it is lost, as far as is known.
func (r *probeResult) where() string {
	switch v := &r.VXLAN; {
	case r.UDP.Got == 0:
		return ""
	case v.Arrived == v.lost():
		return " on the way back"
	case v.Arrived == 0:
		return " on the way to the peer"
	}
	return ", both ways"
}

// diagnoseSize is about large datagrams, when small ones pass.
func (r *probeResult) diagnoseSize() {
	m := r.MTU
	if m == nil {
		return
	}
	if m.Error != "" {
		r.Notes = append(r.Notes, "path MTU: "+m.Error)
	}
	if m.There == 0 || m.Back == 0 {
		return
	}
	// What the kernel knows of it tells senders. What it does not know is lost.
	need, least := min(m.Need, m.Route), min(m.There, m.Back)
	if least < need {
		way := ""
		switch {
		case m.There >= need:
			way = " on the way back"
		case m.Back >= m.There && r.VXLAN.Sent > 0:
			way = " on the way to the peer"
		}
		r.Diagnosis = fmt.Sprintf("large datagrams are lost%s: the path MTU is %d and no router says so; give the TAPs an MTU of %d (Backend.MTU %d in the network's configuration), or let ICMP pass", way, least, least-r.overhead(), least)
		return
	}
	if m.Route < m.Need {
		r.Notes = append(r.Notes, fmt.Sprintf("the path MTU is %d, as this host's kernel knows: senders are told", m.Route))
	}
}

func (r *probeResult) overhead() int {
	if strings.HasPrefix(r.Peer.VTEP, "[") {
		return 70
	}
	return 50
}

// port is the peer's VXLAN port.
func (r *probeResult) port() string { return r.Peer.VTEP[strings.LastIndexByte(r.Peer.VTEP, ':')+1:] }

// ownPort is this host's, which is the network's like the peer's.
func (r *probeResult) ownPort() string { return r.port() }

func percent(p float64) string {
	if p < 1 {
		return fmt.Sprintf("%.2g %%", p)
	}
	return fmt.Sprintf("%.0f %%", p)
}
