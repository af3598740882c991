package main

import (
	"fmt"
	"io"

	"github.com/uvtep/uvtep/internal/hostnet"
)

// stats64 is what the kernel has counted on the TAP, under iproute2's names. What
// is received came out of the tunnel.
type stats64 struct {
	RX rxStats `json:"rx"`
	TX txStats `json:"tx"`
}

type rxStats struct {
	countStats
	Over      uint64 `json:"over_errors"`
	Multicast uint64 `json:"multicast"`
	missed    uint64
}

type txStats struct {
	countStats
	Carrier    uint64 `json:"carrier_errors"`
	Collisions uint64 `json:"collisions"`
}

type countStats struct {
	Bytes   uint64 `json:"bytes"`
	Packets uint64 `json:"packets"`
	Errors  uint64 `json:"errors"`
	Dropped uint64 `json:"dropped"`
}

func stats64Of(c hostnet.Counters) *stats64 {
	return &stats64{
		rxStats{countStats{c.RxBytes, c.RxPackets, c.RxErrors, c.RxDropped}, c.RxOver, c.Multicast, c.RxMissed},
		txStats{countStats{c.TxBytes, c.TxPackets, c.TxErrors, c.TxDropped}, c.TxCarrier, c.Collisions},
	}
}

// print prints counters as `ip -s link` does, columns as wide as the widest number.
func (s *stats64) print(w io.Writer) {
	rx := [...]uint64{s.RX.Bytes, s.RX.Packets, s.RX.Errors, s.RX.Dropped, s.RX.missed, s.RX.Multicast}
	tx := [...]uint64{s.TX.Bytes, s.TX.Packets, s.TX.Errors, s.TX.Dropped, s.TX.Carrier, s.TX.Collisions}
	width := [...]int{10, 7, 6, 7, 7, 7}
	for i := range width {
		width[i] = max(width[i], len(fmt.Sprint(rx[i])), len(fmt.Sprint(tx[i])))
	}
	block := func(name string, heads [6]string, counts [6]uint64) {
		fmt.Fprintf(w, "    %s: %*s", name, width[0]-4, heads[0])
		for i := 1; i < len(heads); i++ {
			fmt.Fprintf(w, " %*s", width[i], heads[i])
		}
		fmt.Fprint(w, "\n   ")
		for i, n := range counts {
			fmt.Fprintf(w, " %*d", width[i], n)
		}
		fmt.Fprintln(w)
	}
	block("RX", [6]string{"bytes", "packets", "errors", "dropped", "missed", "mcast"}, rx)
	block("TX", [6]string{"bytes", "packets", "errors", "dropped", "carrier", "collsns"}, tx)
}
