// Command program is the container that the tests run, in an image that holds
// nothing else: the Program of the suite, and some more.
package main

import (
	"os"

	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

func main() {
	if os.Getenv("PROGRAM_EAT") != "" {
		eat()
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
