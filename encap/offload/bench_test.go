package offload_test

import (
	"bytes"
	"testing"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// perFrame reports the time of one frame, a benchmark's op being a batch.
func perFrame(b *testing.B, frames int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/frame")
}

// tcpRun returns n segments of one TCP stream, of size bytes each.
func tcpRun(t testing.TB, n, size int, flow uint16) []ether.Frame {
	run := make([]ether.Frame, 0, n)
	for i := range n {
		s := spec{port: flow, seq: uint32(i * size), frag: 0x4000, id: uint16(i), opts: timestamps(1), data: stream(i*size, size)}
		run = append(run, s.frame(t))
	}
	return run
}

func udpRun(t testing.TB, n, size int, flow uint16) []ether.Frame {
	run := make([]ether.Frame, 0, n)
	for i := range n {
		s := spec{udp: true, port: flow, frag: 0x4000, id: uint16(i), data: stream(i*size, size)}
		run = append(run, s.frame(t))
	}
	return run
}

// interleave deals the frames of the runs out in turn.
func interleave(runs ...[]ether.Frame) []ether.Frame {
	var all []ether.Frame
	for i := range runs[0] {
		for _, r := range runs {
			all = append(all, r[i])
		}
	}
	return all
}

func BenchmarkMerge(b *testing.B) {
	flows := func(n, each int, run func(testing.TB, int, int, uint16) []ether.Frame, size int) []ether.Frame {
		runs := make([][]ether.Frame, 0, n)
		for i := range n {
			runs = append(runs, run(b, each, size, uint16(i)))
		}
		return interleave(runs...)
	}
	for _, bm := range []struct {
		name   string
		frames []ether.Frame
	}{
		{"TCP 46 of 1398", tcpRun(b, 46, 1398-52, 0)},
		{"TCP 4 flows 46 of 1398", flows(4, 46, tcpRun, 1398-52)},
		{"TCP one frame", tcpRun(b, 1, 1398-52, 0)},
		{"UDP 64 of 64 bytes", udpRun(b, 64, 64, 0)},
		{"UDP 64 flows of 16", flows(64, 16, udpRun, 64)},
		{"UDP 512 lonely flows", flows(512, 1, udpRun, 64)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			m := offload.NewMerger(offload.MergeConfig{Frames: 4096, UDP: true})
			heads := make([][]byte, 0, len(bm.frames))
			for _, f := range bm.frames {
				heads = append(heads, bytes.Clone(f[:66]))
			}
			b.ReportAllocs()
			outs := 0
			for b.Loop() {
				for i, f := range bm.frames {
					copy(f, heads[i]) // Finish edits headers in place
					m.Add(offload.Arrival{Frame: f, MTU: 1450})
				}
				outs = len(m.Finish())
				m.Reset()
			}
			perFrame(b, len(bm.frames))
			b.ReportMetric(float64(len(bm.frames))/float64(outs), "frames/output")
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, bm := range []struct {
		name string
		s    spec
		size int
	}{
		{"TCPv4", spec{opts: timestamps(1), data: stream(0, 45*1346)}, 1346},
		{"TCPv6", spec{v6: true, opts: timestamps(1), data: stream(0, 45*1326)}, 1326},
		{"UDP of 64 bytes", spec{udp: true, data: stream(0, 64*64)}, 64},
	} {
		b.Run(bm.name, func(b *testing.B) {
			h, f := super(b, bm.s, bm.size)
			prefix := make([]byte, encap.HeaderLen)
			s := offload.NewSplitter(1024)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				lists, fate := s.Split(prefix, h, f)
				if fate != offload.Ready {
					b.Fatal(fate)
				}
				n = len(lists)
				s.Reset()
			}
			perFrame(b, n)
		})
	}
}
