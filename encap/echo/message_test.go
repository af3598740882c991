package echo

import (
	"bytes"
	"math"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	asker    = Party{Node: Node{0xaa, 1}, Key: Key{1, 2, 3}}
	answerer = Party{Node: Node{0xbb, 2}, Key: Key{4, 5, 6}}
	secret   = SecretOf(asker, answerer)
)

func request() Message {
	return Message{Kind: Request, Way: VXLAN, Size: 200, Reply: 100, VNI: 7, Seq: 1 << 40, From: asker.Node, To: answerer.Node}
}

// sealed is a message as it is sent, in a buffer that was dirty.
func sealed(m Message) []byte {
	b := bytes.Repeat([]byte{0xee}, m.Size)
	m.Put(b, &secret)
	return b
}

func TestWhatIsPutIsParsed(t *testing.T) {
	answer := request()
	answer.Kind, answer.Reply, answer.Seen, answer.Held, answer.Way = Answer, 0, 99, 3*time.Second, Plain
	longest := request()
	longest.Size, longest.Reply = MaxSize, MaxSize
	for _, want := range []Message{request(), answer, longest} {
		b := sealed(want)
		got, err := Parse(b, len(b))
		if err != nil || !Sealed(b, &secret) {
			t.Fatalf("got %v, sealed %v", err, Sealed(b, &secret))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if len(bytes.Trim(b[Len:], "\x00")) != 0 {
			t.Error("the padding is what was in the buffer before")
		}
		// The head alone is enough: padding need not be kept.
		if _, err := Parse(b[:Len], len(b)); err != nil || !Sealed(b[:Len], &secret) {
			t.Errorf("without its padding: %v", err)
		}
	}
}

func TestAMessageIsWhatTheDocumentDraws(t *testing.T) {
	b := sealed(request())
	for _, c := range []struct {
		name     string
		from, to int
		want     []byte
	}{
		{"magic", 0, 8, []byte{'u', 'v', 't', 'e', 'p', 'E', 0xc4, 0x05}},
		{"version, kind, way, 0", 8, 12, []byte{1, 1, 1, 0}},
		{"size", 12, 14, []byte{0, 200}},
		{"answer", 14, 16, []byte{0, 100}},
		{"VNI, held", 16, 24, []byte{0, 0, 0, 7, 0, 0, 0, 0}},
		{"seq", 24, 32, []byte{0, 0, 1, 0, 0, 0, 0, 0}},
		{"seen", 32, 40, make([]byte, 8)},
		{"from", 40, 56, asker.Node[:]},
		{"to", 56, 72, answerer.Node[:]},
	} {
		if got := b[c.from:c.to]; !bytes.Equal(got, c.want) {
			t.Errorf("%s: got %x, want %x", c.name, got, c.want)
		}
	}
}

func TestNoByteOfAMessageCanBeChanged(t *testing.T) {
	for i := range Len {
		b := sealed(request())
		b[i] ^= 0x10
		_, err := Parse(b, len(b))
		if err == nil && Sealed(b, &secret) {
			t.Errorf("byte %d can be", i)
		}
	}
}

func TestOnlyThePairsSecretSeals(t *testing.T) {
	b := sealed(request())
	restarted := answerer
	restarted.Key[0]++
	for _, c := range []struct {
		name string
		s    Secret
	}{
		{"the other direction", SecretOf(answerer, asker)},
		{"another asker", SecretOf(Party{Node{9}, asker.Key}, answerer)},
		{"an asker who does not know its key", SecretOf(Party{asker.Node, Key{}}, answerer)},
		{"the answerer started anew", SecretOf(asker, restarted)},
		{"no secret", Secret{}},
	} {
		if Sealed(b, &c.s) {
			t.Errorf("%s: its secret fits", c.name)
		}
	}
	if !Sealed(b, &secret) {
		t.Error("the pair's own does not fit")
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	change := func(f func(*Message)) []byte {
		m := request()
		b := make([]byte, 4*m.Size)
		f(&m)
		good := request()
		good.Put(b, &secret)
		b[9], b[10], b[12], b[13], b[14], b[15] = byte(m.Kind), byte(m.Way), byte(m.Size>>8), byte(m.Size), byte(m.Reply>>8), byte(m.Reply)
		copy(b[40:], m.From[:])
		copy(b[56:], m.To[:])
		return b[:200]
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, errNone},
		{"cut", sealed(request())[:Len-1], errNone},
		{"another magic", append([]byte{'U'}, sealed(request())[1:]...), errNone},
		{"another version", append(append(append([]byte{}, sealed(request())[:8]...), 2), sealed(request())[9:]...), errVersion},
		{"no kind", change(func(m *Message) { m.Kind = 3 }), errKind},
		{"no way", change(func(m *Message) { m.Way = 0 }), errWay},
		{"longer than it is", change(func(m *Message) { m.Size = 201 }), errSize},
		{"shorter than it is", change(func(m *Message) { m.Size = 199 }), errSize},
		{"an answer longer than the request", change(func(m *Message) { m.Reply = 201 }), errReply},
		{"an answer too short to be one", change(func(m *Message) { m.Reply = Len - 1 }), errReply},
		{"an answer that asks for one", change(func(m *Message) { m.Kind = Answer }), errReply},
		{"from nobody", change(func(m *Message) { m.From = Node{} }), errNobody},
		{"to nobody", change(func(m *Message) { m.To = Node{} }), errNobody},
		{"with bytes behind it", append(sealed(request()), 0), errSize},
	} {
		if _, err := Parse(c.b, len(c.b)); err != c.want {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestALongHoldIsCut(t *testing.T) {
	for held, want := range map[time.Duration]time.Duration{-1: 0, 0: 0, 1: 1, math.MaxUint32: math.MaxUint32, time.Hour: math.MaxUint32} {
		m := request()
		m.Held = held
		if got, err := Parse(sealed(m), m.Size); err != nil || got.Held != want {
			t.Errorf("%v: got %v, %v, want %v", held, got.Held, err, want)
		}
	}
}

func TestPutRefusesWhatNobodyWouldTake(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a request for an answer longer than itself was put")
		}
	}()
	m := request()
	m.Reply = m.Size + 1
	m.Put(make([]byte, 1000), &secret)
}

func TestANodeIsReadAndWritten(t *testing.T) {
	const text = "00112233445566778899aabbccddeeff"
	if n, err := ParseNode(text); err != nil || n.String() != text {
		t.Errorf("got %s, %v", n, err)
	}
	for _, text := range []string{"", text[1:], text + "0", "zz" + text[2:]} {
		if _, err := ParseNode(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// FuzzParse: no input panics, and what is taken is written the same way again.
func FuzzParse(f *testing.F) {
	f.Add(sealed(request()), 200)
	f.Add(sealed(request())[:Len], 200) // the head, as the data path keeps it
	f.Add(sealed(request())[:Len-1], 200)
	f.Add([]byte(nil), 0)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		m, err := Parse(b, size)
		if err != nil {
			return
		}
		got := make([]byte, m.Size)
		m.Put(got, &secret)
		again, err := Parse(got, m.Size)
		if err != nil || again != m {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}

// slowWindow remembers everything.
type slowWindow struct {
	last uint64
	came map[uint64]bool
}

func (w *slowWindow) take(seq uint64) bool {
	if seq == 0 || w.came[seq] || seq+windowLen <= w.last {
		return false
	}
	w.came[seq] = true
	w.last = max(w.last, seq)
	return true
}

func TestWindowTakesEachNumberOnce(t *testing.T) {
	err := quick.Check(func(steps []int16) bool {
		var w Window
		slow := slowWindow{came: map[uint64]bool{}}
		at := uint64(100)
		for _, s := range steps {
			seq := at + uint64(int64(s%100))
			if got, want := w.Take(seq), slow.take(seq); got != want {
				t.Logf("after %d: %d: got %v, want %v", w.last, seq, got, want)
				return false
			}
			at = max(at, seq)
		}
		return true
	}, &quick.Config{MaxCount: 2000})
	if err != nil {
		t.Error(err)
	}
	var w Window
	for _, c := range []struct {
		seq  uint64
		want bool
	}{{0, false}, {1, true}, {1, false}, {3, true}, {2, true}, {2, false}, {1 << 63, true}, {3, false}, {1<<64 - 1, true}, {1<<64 - 1, false}} {
		if got := w.Take(c.seq); got != c.want {
			t.Errorf("%d: got %v, want %v", c.seq, got, c.want)
		}
	}
}
