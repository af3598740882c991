package echo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// EtherType is that of frames with a message: IEEE 802 local experimental 1.
	EtherType = 0x88b5
	// Len is the length of a message without its padding, in bytes.
	Len = tagOffset + tagLen
	// MaxSize is the length of the longest message, in bytes.
	MaxSize = 1<<16 - 1

	version   = 1
	tagOffset = 72
	tagLen    = 16
)

// magic begins every message.
var magic = [8]byte{'u', 'v', 't', 'e', 'p', 'E', 0xc4, 0x05}

// Kind is what a message is.
type Kind uint8

// The kinds of messages.
const (
	Request Kind = 1
	Answer  Kind = 2
)

// Way is how a message travels.
type Way uint8

// The ways of messages.
const (
	VXLAN Way = 1 // in a frame, on the network's own port
	Plain Way = 2 // in a UDP datagram, on a port of its own
)

// Node is the identity of a host. The zero Node is nobody's.
type Node [16]byte

// ParseNode reads a node id of 32 hexadecimal digits.
func ParseNode(s string) (n Node, err error) {
	if len(s) != 2*len(n) {
		return n, fmt.Errorf("node id %q is not %d hexadecimal digits", s, 2*len(n))
	}
	_, err = hex.Decode(n[:], []byte(s))
	return n, err
}

// String returns the node id in hexadecimal.
func (n Node) String() string { return hex.EncodeToString(n[:]) }

// Key is what an agent drew at its start.
type Key [32]byte

// Party is one side of an exchange.
type Party struct {
	Node Node
	Key  Key
}

// Secret is what the messages of one asker to one answerer, and its answers, are
// sealed with.
type Secret [sha256.Size]byte

// SecretOf returns the secret of a pair.
func SecretOf(asker, answerer Party) (s Secret) {
	m := hmac.New(sha256.New, answerer.Key[:])
	m.Write([]byte("uvtep echo 1"))
	m.Write(asker.Key[:])
	m.Write(asker.Node[:])
	m.Write(answerer.Node[:])
	m.Sum(s[:0])
	return s
}

// Message is a message, without its padding.
type Message struct {
	Kind Kind
	Way  Way
	// Size is the length of the whole message with its padding, in bytes: at
	// least Len.
	Size int
	// Reply is how long the answer to a request is to be, in bytes: at least Len
	// and never more than the request. 0 in an answer.
	Reply int
	// VNI is the network that is asked about.
	VNI uint32
	// Seq is the number of a request of From to To, which grows; an answer has
	// that of its request.
	Seq uint64
	// Seen is, in an answer, the highest number of those requests that came in
	// VXLAN.
	Seen uint64
	// Held is, in an answer, for how long its sender had the request: no part of the
	// way. It is cut to nanoseconds in 32 bits.
	Held time.Duration
	// From and To are who sends and who is to receive the message.
	From, To Node
}

// Put writes the message to the first Size bytes of b, sealed, with zeros for
// padding. It panics when the message is none that Parse would take.
func (m *Message) Put(b []byte, s *Secret) {
	if err := m.check(); err != nil {
		panic(err)
	}
	b = b[:m.Size]
	clear(b)
	copy(b, magic[:])
	b[8], b[9], b[10] = version, byte(m.Kind), byte(m.Way)
	binary.BigEndian.PutUint16(b[12:], uint16(m.Size))
	binary.BigEndian.PutUint16(b[14:], uint16(m.Reply))
	binary.BigEndian.PutUint32(b[16:], m.VNI)
	binary.BigEndian.PutUint32(b[20:], uint32(min(max(m.Held, 0), math.MaxUint32)))
	binary.BigEndian.PutUint64(b[24:], m.Seq)
	binary.BigEndian.PutUint64(b[32:], m.Seen)
	copy(b[40:], m.From[:])
	copy(b[56:], m.To[:])
	tag := s.tag(b)
	copy(b[tagOffset:Len], tag[:])
}

// Is reports whether b begins as a message does: cheap enough to be asked of
// every frame of the EtherType.
func Is(b []byte) bool { return len(b) >= Len && [8]byte(b) == magic }

var (
	errNone    = errors.New("not an echo message")
	errVersion = errors.New("of another version")
	errKind    = errors.New("neither request nor answer")
	errWay     = errors.New("neither in VXLAN nor plain")
	errSize    = errors.New("not of the size that it says")
	errReply   = errors.New("the answer would be too short, or longer than the request")
	errNobody  = errors.New("from nobody or to nobody")
)

// Parse reads a message that came with size bytes, of which b holds the first, at
// least Len. Nothing of it is to be believed before Sealed says so.
func Parse(b []byte, size int) (m Message, err error) {
	switch {
	case !Is(b):
		return m, errNone
	case b[8] != version:
		return m, errVersion
	}
	m = Message{
		Kind: Kind(b[9]), Way: Way(b[10]),
		Size: int(binary.BigEndian.Uint16(b[12:])), Reply: int(binary.BigEndian.Uint16(b[14:])),
		VNI: binary.BigEndian.Uint32(b[16:]), Held: time.Duration(binary.BigEndian.Uint32(b[20:])), Seq: binary.BigEndian.Uint64(b[24:]), Seen: binary.BigEndian.Uint64(b[32:]),
		From: Node(b[40:]), To: Node(b[56:]),
	}
	if m.Size != size {
		return m, errSize
	}
	return m, m.check()
}

func (m *Message) check() error {
	switch {
	case m.Kind != Request && m.Kind != Answer:
		return errKind
	case m.Way != VXLAN && m.Way != Plain:
		return errWay
	case m.Size < Len || m.Size > MaxSize:
		return errSize
	case m.Kind == Answer && m.Reply != 0, m.Kind == Request && (m.Reply < Len || m.Reply > m.Size):
		return errReply
	case m.From == Node{} || m.To == Node{}:
		return errNobody
	}
	return nil
}

// Sealed reports whether who made the message in b, which Parse took, knew the
// secret.
func Sealed(b []byte, s *Secret) bool {
	tag := s.tag(b)
	return hmac.Equal(tag[:], b[tagOffset:Len])
}

func (s *Secret) tag(b []byte) [tagLen]byte {
	var sum [sha256.Size]byte
	m := hmac.New(sha256.New, s[:])
	m.Write(b[:tagOffset])
	return [tagLen]byte(m.Sum(sum[:0]))
}
