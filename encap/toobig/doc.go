// Package toobig answers frames that are larger than the tunnel takes, so that
// their senders send smaller ones (RFC 1191, RFC 8201). A VTEP never fragments
// (RFC 7348 §4.3); dropping in silence would be a black hole (RFC 4459 §3.2,
// RFC 8900).
//
//	from the TAP:  IP 10.10.3.7 → 10.10.8.9, 1500 bytes, the tunnel takes 1450
//	into the TAP:  ICMP fragmentation needed, MTU 1450, "from" 10.10.8.9 to 10.10.3.7
//
// The answer seems to come from the destination, whose network it is about, as
// that of the kernel's device does (net/ipv4/ip_tunnel_core.c,
// iptunnel_pmtud_build_icmp).
package toobig
