// Package snapmap is a map that never changes: the ground the tables of the
// switch stand on.
//
// A lane loads a table once per batch and looks up frame after frame in it,
// without a lock and without an allocation, while the control plane already
// prepares the next one. What the control plane changes is small (one lease,
// one endpoint), what it must not do is copy a million entries for it. So a
// Map is made of small pieces, and an edit copies only those it touches:
//
//	Map ── root ─┬─ node ─┬─ leaf ─┬─ bucket: at most 4 entries on average
//	             │        │        ├─ bucket
//	             │        └─ leaf  └─ … 64 buckets a leaf
//	             └─ node     … 64 leaves a node
//
// The buckets are numbered. Their number follows the number of entries, one
// bucket at a time (linear hashing): four entries more split one bucket in
// two, four fewer join two into one. There is no moment at which the whole
// map is rehashed, and the cost of changing one entry is the same in a map of
// a thousand and in one of a million: one bucket, one leaf, one node, and a
// root of one pointer per 16,384 entries.
//
// # Words
//
//   - bucket: the entries whose hash selects one number, compared one by one
//   - leaf, node, root: the pages that lead from a number to its bucket
//   - edit: what an [Editor] does between two maps; a page is copied at most
//     once per edit, however many entries change
//
// # Concurrency
//
// A Map may be read by any number of goroutines at any time. An Editor belongs
// to one goroutine. Maps that an editor has returned stay as they are, whatever
// it does afterwards.
//
// # What it refuses
//
// There is no order of entries, no shared mutation, and no eviction. The hash
// is seeded at random, so whoever chooses keys cannot choose their buckets.
package snapmap
