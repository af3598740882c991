package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documented are the requests of docs/api.md, each with its examples of JSON:
// what follows a heading "### GET /v1/…".
func documented(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	request, inside := "", false
	for line := range strings.Lines(string(page)) {
		switch name, heading := strings.CutPrefix(line, "### "); {
		case heading:
			request = strings.TrimSpace(name)
			out[request] = nil
		case strings.HasPrefix(line, "```"):
			if inside = strings.TrimSpace(line) == "```json"; inside {
				out[request] = append(out[request], "")
			}
		case inside:
			out[request][len(out[request])-1] += line
		}
	}
	return out
}

func TestEveryRequestIsDocumented(t *testing.T) {
	a := new(agent)
	var page []string
	for request := range documented(t) {
		page = append(page, request)
	}
	slices.Sort(page)
	list := a.requests().List()
	slices.Sort(list)
	if diff := cmp.Diff(list, page); diff != "" {
		t.Errorf("docs/api.md (-served +documented):\n%s", diff)
	}
}

// answers are what the examples of docs/api.md are decoded into: by request, the
// body that is sent if there is one, then the answer.
var answers = map[string][]any{
	"GET " + statusPath:  {new(statusView)},
	"GET " + statsPath:   {new(statsView)},
	"GET " + linkPath:    {new(linkView)},
	"GET " + fdbPath:     {new(rows[fdbRow])},
	"GET " + neighPath:   {new(rows[neighRow])},
	"GET " + routePath:   {new(rows[routeRow])},
	"GET " + changePath:  {new(changeView)},
	"GET " + selfPath:    {new(selfView)},
	"GET " + heldPath:    {new(heldView)},
	"PUT " + offloadPath: {new(offloadChange)},

	"GET " + peersPath:     {new([]peerView)},
	"POST " + explainPath:  {new(explainQuestion), new(explainAnswer)},
	"POST " + findPeerPath: {new(findRequest)},
	"POST " + roundPath:    {new(roundRequest), new(roundView)},
	"POST " + roundMTUPath: {new(mtuRequest), new(mtuView)},
}

// An example says all that there is, and nothing else: it is decoded strictly,
// and no field that is always there may be missing.
func TestExamplesOfTheAPIAreWhatIsServed(t *testing.T) {
	page := documented(t)
	for request, into := range answers {
		examples := page[request]
		if len(examples) < len(into) {
			t.Errorf("%s: got %d examples of JSON, want %d", request, len(examples), len(into))
			continue
		}
		for i, v := range into {
			d := json.NewDecoder(strings.NewReader(examples[i]))
			d.DisallowUnknownFields()
			if err := d.Decode(v); err != nil {
				t.Errorf("%s: the example: %v", request, err)
				continue
			}
			var got any
			if err := json.Unmarshal([]byte(examples[i]), &got); err != nil {
				t.Errorf("%s: the example: %v", request, err)
			}
			for _, missing := range lacks(reflect.TypeOf(v).Elem(), got, "") {
				t.Errorf("%s: the example lacks %s", request, missing)
			}
		}
	}
}

// lacks names the keys that a type always has and a value has not.
func lacks(of reflect.Type, v any, at string) (out []string) {
	switch of.Kind() {
	case reflect.Slice:
		list, _ := v.([]any)
		for i, x := range list {
			out = append(out, lacks(of.Elem(), x, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case reflect.Map:
		m, _ := v.(map[string]any)
		for k, x := range m {
			out = append(out, lacks(of.Elem(), x, at+"."+k)...)
		}
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			return nil // it writes itself as a text
		}
		for f := range of.Fields() {
			if f.Anonymous {
				out = append(out, lacks(f.Type, v, at)...)
				continue
			}
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = f.Name
			}
			x, there := m[name]
			switch {
			case f.Anonymous: // its fields are the struct's own
				out = append(out, lacks(f.Type, v, at)...)
			case there:
				out = append(out, lacks(f.Type, x, at+"."+name)...)
			case !strings.Contains(options, "omit"): // omitempty, omitzero
				out = append(out, at+"."+name)
			}
		}
	}
	return out
}
