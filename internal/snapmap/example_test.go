package snapmap_test

import (
	"fmt"

	"github.com/uvtep/uvtep/internal/snapmap"
)

// An edit makes a new map; the old one stays.
func Example() {
	e := new(snapmap.Map[string, int]).Edit()
	e.Set("one", 1)
	old := e.Map()

	e = old.Edit()
	e.Set("two", 2)
	e.Delete("one")
	now := e.Map()

	_, before := old.Get("two")
	two, after := now.Get("two")
	fmt.Println(old.Len(), before, now.Len(), two, after)
	// Output: 1 false 1 2 true
}
