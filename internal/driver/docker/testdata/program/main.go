// Command program is the container that the suite of drivers runs, in an image
// that holds nothing else.
package main

import (
	"os"

	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

func main() { drivertest.Main([]string{"/program"}, os.Args[1:]) }
