// Package bench holds what is proven with the whole program: end-to-end tests
// in network namespaces (see bench/lab), and the benchmarks that say how fast
// uvtep is, beside the kernel's own vxlan device in the same run.
//
//	go test ./bench                  the tests (root)
//	go test -run '^$' -bench . ./bench
//
//	make bench-lab bench-charts      five rounds, and docs/performance.md made of them
//	make bench-check                 the stages beside baseline.txt
//
// No test here asserts a time; benchmarks measure and assert nothing.
package bench
