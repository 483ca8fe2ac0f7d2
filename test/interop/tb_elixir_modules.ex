# What the children of tb_elixir_test are; on all of its nodes.
defmodule TbElixir.Job do
  @moduledoc false
  use GenServer, restart: :transient, shutdown: 1_000

  def start_link(arg), do: GenServer.start_link(__MODULE__, arg)

  @impl true
  def init(:ignore), do: :ignore
  def init({:stop, reason}), do: {:stop, reason}
  def init(arg), do: {:ok, arg}

  @impl true
  def handle_call(:arg, _from, arg), do: {:reply, arg, arg}
  def handle_call({:stop, reason}, _from, arg), do: {:stop, reason, :ok, arg}
end

defmodule TbElixir.Named do
  @moduledoc false
  @doc "Told by who uses it."
  use Tiebeam.Supervisor, shutdown: 60_000, restart: :transient

  def start_link({options, arg}), do: Tiebeam.Supervisor.start_link(__MODULE__, arg, options)

  @impl true
  def init(:ignore), do: :ignore
  def init(:bad), do: :bad
  def init(options), do: Tiebeam.Supervisor.init(options)
end
