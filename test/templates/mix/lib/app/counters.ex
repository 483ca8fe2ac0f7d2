defmodule App.Counters do
  @moduledoc false
  use Tiebeam.Supervisor, shutdown: 60_000

  def start_link(arg), do: Tiebeam.Supervisor.start_link(__MODULE__, arg)

  @impl true
  def init(_arg), do: Tiebeam.Supervisor.init(max_children: 3)
end
