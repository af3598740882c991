package etcdsync

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestAListThatTakesLongIsToldOfNowAndThen(t *testing.T) {
	var out strings.Builder
	log := zerolog.New(&out)
	r := reading{told: time.Now()}
	r.add(log, 1000)
	r.told = time.Now().Add(-tellEvery)
	r.add(log, 1000)
	r.add(log, 1000)
	if want := `{"level":"info","keys":2000,"message":"reading the network from etcd"}` + "\n"; out.String() != want {
		t.Errorf("log: got %q, want %q", out.String(), want)
	}
}
