//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// memberPatience is how long a member may take to answer before the next one is
// asked: a frozen one takes the connection and says nothing.
const memberPatience = 2 * time.Second

// The lab speaks to etcd through its JSON gateway, so that it needs no client of
// etcd: what it writes and reads is independent of the code under test. Keys and
// values are base64 there, which is how encoding/json writes []byte.

type kvRequest struct {
	Key      []byte `json:"key"`
	RangeEnd []byte `json:"range_end,omitempty"`
	Value    []byte `json:"value,omitempty"`
}

type kvResponse struct {
	Header struct {
		Revision int64 `json:"revision,string"`
	} `json:"header"`
	KVs []struct {
		Key     []byte `json:"key"`
		Value   []byte `json:"value"`
		Version int64  `json:"version,string"`
	} `json:"kvs"`
}

// Put writes a key, without an etcd lease.
func (l *Lab) Put(ctx context.Context, key, value string) error {
	return l.kv(ctx, "put", kvRequest{Key: []byte(key), Value: []byte(value)}, nil)
}

// Compact forgets the history up to now: what is there stays, what was there
// before cannot be asked for any more.
func (l *Lab) Compact(ctx context.Context) error {
	var now kvResponse
	if err := l.kv(ctx, "range", kvRequest{Key: []byte("/")}, &now); err != nil {
		return err
	}
	return l.kv(ctx, "compaction", compaction{Revision: now.Header.Revision, Physical: true}, nil)
}

// compaction is a request; encoding/json and the gateway agree on numbers in
// quotes.
type compaction struct {
	Revision int64 `json:"revision,string"`
	Physical bool  `json:"physical"`
}

// Delete removes a key. Deleting what is not there is no error.
func (l *Lab) Delete(ctx context.Context, key string) error {
	return l.kv(ctx, "deleterange", kvRequest{Key: []byte(key)}, nil)
}

// List returns the keys that begin with prefix, which must not be empty, and
// their values.
func (l *Lab) List(ctx context.Context, prefix string) (map[string]string, error) {
	if prefix == "" {
		return nil, errors.New("etcd: list without prefix")
	}
	end := []byte(prefix)
	end[len(end)-1]++ // the first key that does not begin with prefix
	var resp kvResponse
	if err := l.kv(ctx, "range", kvRequest{Key: []byte(prefix), RangeEnd: end}, &resp); err != nil {
		return nil, err
	}
	found := make(map[string]string, len(resp.KVs))
	for _, kv := range resp.KVs {
		found[string(kv.Key)] = string(kv.Value)
	}
	return found, nil
}

// Version is how often a key was written since it was made; 0 when it is not there.
func (l *Lab) Version(ctx context.Context, key string) (int64, error) {
	var resp kvResponse
	if err := l.kv(ctx, "range", kvRequest{Key: []byte(key)}, &resp); err != nil || len(resp.KVs) == 0 {
		return 0, err
	}
	return resp.KVs[0].Version, nil
}

// Event is one change of a key.
type Event struct {
	Key, Value string
	Deleted    bool
	Revision   int64
}

// History returns all changes that etcd remembers, in their order, up to now.
func (l *Lab) History(ctx context.Context) ([]Event, error) {
	var now kvResponse
	if err := l.kv(ctx, "range", kvRequest{Key: []byte("/")}, &now); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the watch
	defer cancel()
	everything := []byte(`{"create_request":{"key":"AA==","range_end":"AA==","start_revision":"1"}}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.EtcdURLs()[0]+"/v3/watch", bytes.NewReader(everything))
	if err != nil {
		return nil, err
	}
	resp, err := l.fabric.httpClient().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var all []Event
	for d := json.NewDecoder(resp.Body); len(all) == 0 || all[len(all)-1].Revision < now.Header.Revision; {
		var m watchMessage
		if err := d.Decode(&m); err != nil {
			return nil, fmt.Errorf("etcd: watch from the beginning: %w", err)
		}
		if m.Result.Canceled {
			return nil, errors.New("etcd: the beginning of its history has been compacted")
		}
		for _, e := range m.Result.Events {
			all = append(all, Event{string(e.KV.Key), string(e.KV.Value), e.Type == "DELETE", e.KV.Revision})
		}
	}
	return all, nil
}

// watchMessage is a message of a watch.
type watchMessage struct {
	Result struct {
		Canceled bool `json:"canceled"`
		Events   []struct {
			Type string `json:"type"`
			KV   struct {
				Key      []byte `json:"key"`
				Value    []byte `json:"value"`
				Revision int64  `json:"mod_revision,string"`
			} `json:"kv"`
		} `json:"events"`
	} `json:"result"`
}

// kv asks the members one after the other until one answers, the one that did so
// last first.
func (l *Lab) kv(ctx context.Context, verb string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	client := l.fabric.httpClient()
	var errs []error
	urls := l.EtcdURLs()
	first := int(l.answered.Load())
	for i := range urls {
		i = (first + i) % len(urls)
		err := post(ctx, client, urls[i]+"/v3/kv/"+verb, body, out)
		if err == nil {
			l.answered.Store(int64(i))
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("etcd: %s %s: %w", verb, body, errors.Join(errs...))
}

func post(ctx context.Context, client *http.Client, url string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, memberPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
