package main

import (
	"net/netip"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// enrolled says who is to be told when the host's public addresses are others
// than those claimed.
func (p *plane) enrolled(r *etcdsync.Registration, claimed *etcdsync.Claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reg, p.public = r, [2]netip.Addr{claimed.PublicIP, claimed.PublicIPv6}
	p.tellPublic(p.trunk.where())
}

// tellPublic has other hosts told of the public addresses, if these are others
// now. mu is held.
func (p *plane) tellPublic(u hostnet.Underlay) {
	if now := [2]netip.Addr{u.Public, u.Public6}; p.reg != nil && now != p.public {
		p.public = now
		p.reg.Update(now[0], now[1])
	}
}

// rehomed follows the underlay, which is another now.
func (p *plane) rehomed() {
	p.follows(p.trunk.where())
	// What waits for a disk is done without mu, which the data path needs to be
	// opened anew.
	p.tellContainers()
}

func (p *plane) follows(u hostnet.Underlay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remeasure(u)
	p.tellPublic(u)
}

// remeasure makes the TAP's MTU what the underlay allows now, unless somebody
// chose another one. mu is held.
func (p *plane) remeasure(u hostnet.Underlay) {
	mtu, err := p.overlayMTU(u)
	if err != nil {
		p.log.Error().Err(err).Msg("the underlay's MTU is too small; the TAP keeps its own")
		return
	}
	if mtu == p.mtu {
		p.retable() // the paths' widths may be others all the same
		return
	}
	set := mtu
	if p.link.MTU != p.mtu {
		set = 0
		p.log.Warn().Str("tap", p.name).Int("is", p.link.MTU).Int("fits", mtu).Msg("somebody chose the TAP's MTU; left as it is")
	}
	p.mtu = mtu
	p.log.Info().Msgf("MTU: %d", mtu)
	if err := p.ensure(set); err != nil {
		p.log.Error().Err(err).Msg("TAP could not be given its MTU")
	}
	p.retable()
	p.applyRoutes()
}

// renewTables puts the tables in force once more, after what the trunk adds to
// them has changed.
func (p *plane) renewTables() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retable()
}

// tellContainers writes the subnet file anew if what it says is not so any more.
func (p *plane) tellContainers() {
	p.mu.Lock()
	r := p.reg
	p.mu.Unlock()
	if r == nil || p.noSubnet {
		return
	}
	if err := p.writeSubnetFile(r); err != nil {
		p.log.Error().Err(err).Msg("subnet file not written; containers are told the MTU of before")
	}
}

// fittingMTU is what the tunnel leaves of the underlay's, in bytes.
func (p *plane) fittingMTU() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mtu
}
