# tb_exunit - runs the one suite of a file. run.sh reads the last line. With
# $TB_RESULTS a line for each case is appended to that file, as tb_report does;
# the releases are part of its title.
defmodule TbExunit do
  @moduledoc false
  use GenServer

  def start, do: ExUnit.start(autorun: false, timeout: 300_000, formatters: [ExUnit.CLIFormatter, __MODULE__])

  def run(suite) do
    Application.put_env(:ex_unit, :tb_suite, suite)
    start = System.monotonic_time(:millisecond)
    result = ExUnit.run()
    ms = System.monotonic_time(:millisecond) - start
    skipped = result.skipped + result.excluded
    passed = result.total - result.failures - skipped
    IO.puts("#{suite}: #{passed} passed, #{result.failures} failed, #{skipped} skipped, #{ms} ms")
  end

  @impl true
  def init(_), do: {:ok, System.get_env("TB_RESULTS", "")}

  @impl true
  def handle_cast({:test_finished, test}, file) when file != "" do
    [major, minor | _] = String.split(System.version(), ".")
    releases = "Elixir #{major}.#{minor}, OTP #{System.otp_release()}"
    title = test.name |> to_string() |> String.replace_prefix("test ", "")
    suite = Application.fetch_env!(:ex_unit, :tb_suite)
    File.write!(file, "#{suite}\t#{releases}: #{title}\t#{status(test.state)}\n", [:append])
    {:noreply, file}
  end

  def handle_cast(_, file), do: {:noreply, file}

  defp status(nil), do: "passed"
  defp status({:failed, _}), do: "failed"
  defp status({:invalid, _}), do: "failed"
  defp status(_), do: "skipped"
end

TbExunit.start()
