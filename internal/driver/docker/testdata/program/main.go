// Command program is the container that the tests run, in an image that holds
// nothing else: the Program of the suite, and some more.
package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

func main() {
	if os.Getenv("PROGRAM_EAT") != "" {
		eat()
	}
	if folder := os.Getenv("PROGRAM_WRITE"); folder != "" {
		fmt.Println("write:", os.WriteFile(filepath.Join(folder, "written"), []byte("x"), 0o644))
	}
	if name := os.Getenv("PROGRAM_RESOLVE"); name != "" {
		_, err := net.LookupHost(name)
		fmt.Println("resolve:", err)
	}
	drivertest.Main([]string{"/program"}, os.Args[1:])
}

// eat takes memory until there is none.
func eat() {
	var eaten [][]byte
	for {
		b := make([]byte, 1<<20)
		for n := range b {
			b[n] = 1
		}
		eaten = append(eaten, b)
	}
}
