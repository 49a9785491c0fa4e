// A shim for containerd that stands for Kata's where virtual machines cannot run: runc's, but for the options, which
// containerd hands to every shim but runc's in a form that runc's does not read.
package main

import (
	"context"

	taskAPI "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/pkg/shutdown"
	"github.com/containerd/containerd/plugin"
	"github.com/containerd/containerd/runtime/v2/runc/manager"
	_ "github.com/containerd/containerd/runtime/v2/runc/pause"
	"github.com/containerd/containerd/runtime/v2/runc/task"
	"github.com/containerd/containerd/runtime/v2/shim"
	"github.com/containerd/ttrpc"
)

type service struct {
	taskAPI.TaskService
}

func (s service) Create(ctx context.Context, request *taskAPI.CreateTaskRequest) (*taskAPI.CreateTaskResponse, error) {
	request.Options = nil
	return s.TaskService.Create(ctx, request)
}

func (s service) RegisterTTRPC(server *ttrpc.Server) error {
	taskAPI.RegisterTaskService(server, s)
	return nil
}

func init() {
	plugin.Register(&plugin.Registration{
		Type:     plugin.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugin.EventPlugin, plugin.InternalPlugin},
		InitFn: func(at *plugin.InitContext) (interface{}, error) {
			publisher, err := at.GetByID(plugin.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			stop, err := at.GetByID(plugin.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			inner, err := task.NewTaskService(at.Context, publisher.(shim.Publisher), stop.(shutdown.Service))
			return service{inner}, err
		},
	})
}

func main() {
	shim.RunManager(context.Background(), manager.NewShimManager("io.containerd.kata.v2"))
}
