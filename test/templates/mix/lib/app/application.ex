defmodule App.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    topologies = Application.get_env(:app, :topologies)

    children = [
      # was: {Cluster.Supervisor, [topologies, [name: App.ClusterSupervisor]]}
      {:tiebeam, [topologies, [name: App.ClusterSupervisor]]},
      # was: {DynamicSupervisor, name: App.Jobs}
      {Tiebeam.Supervisor, name: App.Jobs, locator: :rendezvous},
      App.Counters
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: App.Supervisor)
  end
end
