package router

import (
	"context"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

type models struct{}

func newModels(in *Instance, c int, of resource.Container) *models { return &models{} }

func (m *models) has(string) bool { return false }
func (m *models) loading() bool   { return false }
func (m *models) close()          {}
func (m *models) count() int      { return 0 }

func (x *exchange) callModel(ctx context.Context, l leg, call *instance.Call, deadline time.Time, send func() (instance.Head, []byte, error)) (instance.Head, []byte, error) {
	return send()
}
