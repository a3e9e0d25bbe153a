package docker

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

func TestDriver(t *testing.T) {
	e := requireEngine(t)
	image := e.loadProgram(t)
	drivertest.Run(t, drivertest.Harness{
		New:          func(t *testing.T) driver.Driver { return newDriver(t) },
		Image:        image,
		PlatformEnv:  []string{envPort},
		OptionalEnv:  []string{"PATH", "HOME", "HOSTNAME"},
		StreamsApart: true,
	})
}
