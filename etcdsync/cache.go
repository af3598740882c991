package etcdsync

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// cacheFormat is the version of a cache. The next one must be readable here,
// so that an older uvtep can follow a newer one; the one after that need not.
const cacheFormat, maxCacheFormat = 1, 2

// cache is what the tables were made of, as text: one line that says where and
// when, one line a key with its last good value, and one with the checksum of
// all before it.
//
//	{"Format":1,"Prefix":"/coreos.com/network/","Node":"…","Cluster":…,"Rev":42,"Heard":"2026-01-31T12:00:00Z","Keys":1}
//	{"Key":"subnets/10.10.2.0-24","Created":17,"Rev":17,"Value":{"PublicIP":…}}
//	sha256 9f86d081…
type cache struct {
	cacheHead
	text     io.ReadSeeker
	from, to int64 // where in text the lines of the keys are, all readable
}

type cacheHead struct {
	Format       int
	Prefix, Node string
	Cluster      uint64
	Rev          int64
	Heard        time.Time // etcd was heard last
	Keys         int
}

// cachedKey is a key below the prefix and its last good value, which may lie in
// what the line was read into.
type cachedKey struct {
	Key          string
	Created, Rev int64
	Value        json.RawMessage
}

const (
	sumWord = "sha256 "
	sumLen  = len(sumWord) + 2*sha256.Size + 1
	// maxCacheLine is more than a snapshot ever writes in one line, in bytes.
	maxCacheLine = 64 << 10
)

var errCacheDamaged = errors.New("damaged: its checksum does not fit")

// parseCache reads what a snapshot wrote; anything else is an error. The cache goes
// on reading from text, which never is in memory as a whole: a start has the new
// tables to find room for.
func parseCache(text io.ReadSeeker) (*cache, error) {
	size, err := checkCache(text)
	if err != nil {
		return nil, err
	}
	c := &cache{text: text, to: size}
	n := -1 // the first line is none of a key
	err = c.lines(func(line []byte) error {
		if n++; n == 0 {
			return c.begin(line)
		}
		if new(cachedKey).read(line) != nil {
			return fmt.Errorf("key %d cannot be read", n)
		}
		return nil
	})
	if err == nil && n != c.Keys {
		err = fmt.Errorf("%d keys where there should be %d", n, c.Keys)
	}
	return c, err
}

// begin reads the first line.
func (c *cache) begin(line []byte) error {
	if err := json.Unmarshal(line, &c.cacheHead); err != nil {
		return fmt.Errorf("first line: %w", err)
	}
	if c.Format < 1 || c.Format > maxCacheFormat {
		return fmt.Errorf("format %d is unknown here: %d at most", c.Format, maxCacheFormat)
	}
	c.from = int64(len(line))
	return nil
}

// lines hands over each line, which is valid until the next one.
func (c *cache) lines(line func([]byte) error) error {
	if _, err := c.text.Seek(c.from, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(io.LimitReader(c.text, c.to-c.from), maxCacheLine)
	for {
		b, err := r.ReadSlice('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(b) == 0 {
			return nil
		}
		if err := line(b); err != nil {
			return err
		}
	}
}

// keys hands over all keys, one after another: together they would take as much
// memory again as the tables. The slice in each is valid until the next one.
func (c *cache) keys(key func(*cachedKey)) error {
	return c.lines(func(line []byte) error {
		k := new(cachedKey)
		if err := k.read(line); err != nil {
			return err
		}
		key(k)
		return nil
	})
}

// read reads a key's line: any that says in JSON what there is to say, and those
// that are as encode writes them in a fifth of the time.
func (k *cachedKey) read(line []byte) error {
	if k.cut(line) {
		return nil
	}
	*k = cachedKey{}
	return json.Unmarshal(line, k)
}

// cut reads a line as encode writes it, and reports whether it is one.
func (k *cachedKey) cut(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte(`{"Key":"`))
	name, rest, named := bytes.Cut(rest, []byte(`","Created":`))
	created, rest, dated := bytes.Cut(rest, []byte(`,"Rev":`))
	rev, rest, revised := bytes.Cut(rest, []byte(`,"Value":`))
	value, whole := bytes.CutSuffix(rest, []byte("}\n"))
	if !ok || !named || !dated || !revised || !whole || bytes.ContainsFunc(name, needsCare) || !json.Valid(value) {
		return false
	}
	k.Created, dated = cutNumber(created)
	k.Rev, revised = cutNumber(rev)
	k.Key, k.Value = string(name), value
	return dated && revised
}

// cutNumber reads a number as encode writes it.
func cutNumber(text []byte) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == string(text)
}

// needsCare reports whether a character of a string in JSON may not be what it
// looks like.
func needsCare(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// checkCache returns how many bytes the checksum is of, all that come before it.
func checkCache(text io.ReadSeeker) (int64, error) {
	size, err := text.Seek(-int64(sumLen), io.SeekEnd)
	if err != nil {
		return 0, errCacheDamaged // it is shorter than that
	}
	said, err := io.ReadAll(text)
	if err != nil {
		return 0, err
	}
	if _, err := text.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, text, size); err != nil {
		return 0, err
	}
	if string(said) != sumWord+hex.EncodeToString(sum.Sum(nil))+"\n" {
		return 0, errCacheDamaged
	}
	return size, nil
}

// kv is the key as etcd would send it.
func (k *cachedKey) kv() *mvccpb.KeyValue {
	return &mvccpb.KeyValue{Value: k.Value, CreateRevision: k.Created, ModRevision: k.Rev}
}
