package etcdsync

import (
	"bytes"
	"strconv"
	"time"
)

// appendName appends the name of the row's key, below the prefix.
func (r *row) appendName(b []byte) []byte {
	switch r.kind {
	case lease:
		return append(b, r.more.peer.Key...)
	case host:
		return append(append(append(b, hostsDir...), r.node.id...), "/host"...)
	case endpoint:
		b = append(append(append(b, hostsDir...), r.node.id...), "/endpoints/"...)
	case static:
		b = append(b, staticDir...)
	}
	b = append(strconv.AppendUint(b, uint64(r.vni), 10), '/')
	return r.mac.AppendTo(b)
}

// name is the name of the row's key, below the prefix.
func (r *row) name() string {
	var room [128]byte
	return string(r.appendName(room[:0]))
}

func (r *row) isNamed(name string) bool {
	var room [128]byte
	return string(r.appendName(room[:0])) == name
}

// date remembers since when an endpoint is there, as far as four bytes can tell:
// spell finds out.
func (r *row) date(since time.Time) {
	r.since = uint32(since.Unix())
	r.mark(dated, !since.IsZero())
}

// spell reports whether a value of an endpoint is exactly what the row would spell
// it as, in one of the forms that uvtep and its documentation write: then it need
// not be kept.
func (r *row) spell(value []byte) bool {
	r.mark(formal, bytes.HasSuffix(value, []byte(formalEnd)))
	var room [256]byte
	return bytes.Equal(r.appendSpelling(room[:0]), value)
}

const formalEnd = `,"Schema":1}`

func (r *row) appendSpelling(b []byte) []byte {
	b = append(b, `{"IPs":[`...)
	for ip := range r.ips.all() {
		b = append(ip.AppendTo(append(b, '"')), `",`...)
	}
	b = append(bytes.TrimSuffix(b, []byte{','}), `],"Seq":`...)
	b = strconv.AppendUint(b, r.seq, 10)
	if r.marks.has(dated) {
		b = append(b, `,"Since":"`...)
		b = append(time.Unix(int64(r.since), 0).UTC().AppendFormat(b, time.RFC3339), '"')
	}
	if r.marks.has(formal) {
		return append(b, formalEnd...)
	}
	return append(b, '}')
}

// appendValue appends the value of the row's key.
func (r *row) appendValue(b []byte) []byte {
	if r.more != nil {
		return append(b, r.more.value...)
	}
	return r.appendSpelling(b)
}
