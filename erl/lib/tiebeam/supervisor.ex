defmodule Tiebeam.Supervisor do
  @moduledoc """
  A `DynamicSupervisor` for all nodes of a cluster.

      children = [
        {:tiebeam, [topologies]},
        {Tiebeam.Supervisor, name: App.Jobs, max_restarts: 3}
      ]

  on each node, and on any of them

      {:ok, pid} = DynamicSupervisor.start_child(App.Jobs, {App.Job, 1})

  starts a child on one of them. Where a node is lost its children start on the
  others; where one comes, its share moves there.

  ## Options

    * `:name` - a local name, the same on all nodes; required
    * `:node` - the tiebeam node; by default the sidecar of this node
    * `:host` - whether children may run on this node; by default `true`
    * `:strategy` - `:one_for_one`
    * `:max_restarts`, `:max_seconds` - 3 in 5 seconds, on each node
    * `:max_children` - on all nodes together; `:infinity`
    * `:extra_arguments` - before those of each child
    * `:auto_balance` - whether children move to a node that comes; `true`
    * `:locator` - `:phash2`, `:rendezvous`, `:least_loaded` or `{module, function}`
    * and the others of the process of that name, see tiebeam's README

  Those of `GenServer.start_link/3` are for the process of this node.

  ## Modules

      defmodule App.Jobs do
        use Tiebeam.Supervisor

        def start_link(arg), do: Tiebeam.Supervisor.start_link(__MODULE__, arg, name: __MODULE__)

        @impl true
        def init(_arg), do: Tiebeam.Supervisor.init(max_restarts: 3)
      end

  `use` takes the keys of a child spec, and defines `child_spec/1`. Without
  `:max_restarts` a module's supervisor bears one in five seconds.

  ## Children

  The functions here are those of `DynamicSupervisor`, which may be called as
  well. A child of `Supervisor.start_child/2` has an id that no other one in the
  cluster has, and is stopped, restarted and deleted by it.
  """

  @type option :: {atom, term}
  @type child_spec :: :supervisor.child_spec() | {module, term} | module

  @doc "What the supervisor of a module is: `{:ok, options}` or `:ignore`."
  @callback init(arg :: term) :: {:ok, [option]} | :ignore

  @doc false
  defmacro __using__(overrides) do
    quote location: :keep do
      @behaviour Tiebeam.Supervisor

      if not Module.has_attribute?(__MODULE__, :doc) do
        @doc "For the children of an application's supervisor; see `Supervisor`."
      end

      def child_spec(arg) do
        spec = %{id: __MODULE__, start: {__MODULE__, :start_link, [arg]}, type: :supervisor}
        Supervisor.child_spec(spec, unquote(Macro.escape(overrides)))
      end

      defoverridable child_spec: 1
    end
  end

  @doc "For the children of an application's supervisor."
  @spec child_spec([option]) :: Supervisor.child_spec()
  def child_spec(options) when is_list(options) do
    %{
      id: Keyword.get(options, :name, __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      type: :supervisor
    }
  end

  @doc "Starts the supervisor `:name`, unless it is there."
  @spec start_link([option]) :: Supervisor.on_start()
  def start_link(options) when is_list(options) do
    options |> local() |> :tiebeam_supervisor.start_link()
  end

  @doc "The same with what `module.init(arg)` gives."
  @spec start_link(module, term, [option]) :: Supervisor.on_start() | :ignore
  def start_link(module, arg, options \\ []) when is_atom(module) do
    options = options |> Keyword.put_new(:name, module) |> local()
    :tiebeam_supervisor.start_link(module, arg, options)
  end

  @doc "What a module gives from its `init/1`."
  @spec init([option]) :: {:ok, [option]}
  def init(options) when is_list(options), do: {:ok, options}

  defp local(options) do
    case Keyword.fetch(options, :name) do
      {:ok, name} when is_atom(name) and name not in [nil, true, false] ->
        options |> Map.new() |> Map.put_new(:host, true)

      _ ->
        raise ArgumentError, "expected :name to be a local name, an atom, got: #{inspect(options)}"
    end
  end

  @doc "Starts a child that has no name, as `DynamicSupervisor.start_child/2`."
  @spec start_child(Supervisor.supervisor(), child_spec) :: DynamicSupervisor.on_start_child()
  defdelegate start_child(supervisor, child_spec), to: DynamicSupervisor

  @doc "Many in one request; the results in the order of the specs."
  @spec start_children(Supervisor.supervisor(), [child_spec]) :: [DynamicSupervisor.on_start_child()]
  def start_children(supervisor, child_specs) do
    specs = Enum.map(child_specs, &dynamic/1)

    case :tiebeam_supervisor.start_children(supervisor, for({:ok, spec} <- specs, do: spec)) do
      results when is_list(results) -> in_order(specs, results)
      error -> error
    end
  end

  # what was none, and what became of the others
  defp in_order([{:error, _} = error | specs], results), do: [error | in_order(specs, results)]
  defp in_order([{:ok, _} | specs], [result | results]), do: [result | in_order(specs, results)]
  defp in_order([], []), do: []

  @doc "By its pid, on whichever node it is."
  @spec terminate_child(Supervisor.supervisor(), pid) :: :ok | {:error, :not_found}
  defdelegate terminate_child(supervisor, pid), to: DynamicSupervisor

  defdelegate which_children(supervisor), to: DynamicSupervisor
  defdelegate count_children(supervisor), to: DynamicSupervisor

  @doc "The node where a child of that spec would start."
  @spec locate(Supervisor.supervisor(), child_spec) :: node | {:error, term}
  def locate(supervisor, child_spec) do
    with {:ok, spec} <- dynamic(child_spec), do: :tiebeam_supervisor.locate(supervisor, spec)
  end

  @doc "Children go to where the locator wants them now."
  defdelegate rebalance(supervisor), to: :tiebeam_supervisor

  @doc "Children leave that node, and none starts there, until `undrain/2` or until it is started anew."
  defdelegate drain(supervisor, node), to: :tiebeam_supervisor
  defdelegate undrain(supervisor, node), to: :tiebeam_supervisor

  @doc "A host that is gone for good leaves the set of hosts now."
  defdelegate forget(supervisor, node), to: :tiebeam_supervisor

  @doc "Where children may start now."
  defdelegate hosts(supervisor), to: :tiebeam_supervisor
  defdelegate info(supervisor), to: :tiebeam_supervisor

  @doc "Where a child is and belongs, and of each node whether it is a host."
  defdelegate explain(supervisor, child), to: :tiebeam_supervisor

  @doc "Other options, from now on; those not named stay."
  @spec reconfigure(Supervisor.supervisor(), [option]) :: :ok | {:error, term}
  defdelegate reconfigure(supervisor, options), to: :tiebeam_supervisor

  @doc "All children stop, on all nodes; the supervisor is then there again, without children."
  @spec stop(Supervisor.supervisor(), term, timeout) :: :ok
  def stop(supervisor, reason \\ :normal, timeout \\ :infinity) do
    :tiebeam_supervisor.stop(supervisor, reason, timeout)
  end

  # what DynamicSupervisor.start_child/2 sends; the supervisor checks the rest
  defp dynamic({_, start, restart, shutdown, type, modules}) do
    {:ok, {start, restart, shutdown, type, modules}}
  end

  defp dynamic(child_spec) do
    case Supervisor.child_spec(child_spec, []) do
      %{significant: significant} when significant != false ->
        {:error, {:invalid_significant, significant}}

      %{id: _, start: {module, _, _} = start} = spec ->
        type = Map.get(spec, :type, :worker)
        shutdown = Map.get(spec, :shutdown, if(type == :worker, do: 5_000, else: :infinity))
        modules = Map.get(spec, :modules, [module])
        {:ok, {start, Map.get(spec, :restart, :permanent), shutdown, type, modules}}

      other ->
        {:error, {:invalid_child_spec, other}}
    end
  end
end
