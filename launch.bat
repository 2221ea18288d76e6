@echo off
rem Sets up what is missing, then: no argument opens the page; "setup" stops there; "test" runs the
rem tests, a bare "check" the linters and the quick tests; anything else goes to app.py (launch.bat
rem generate "a red ball").
setlocal EnableExtensions DisableDelayedExpansion
set "HERE=%~dp0"
set "VENV_PYTHON=%HERE%.venv\Scripts\python.exe"
set "CHECK=import sys, venv, ensurepip; sys.exit(not (sys.maxsize > 2**32 and (3, 11) <= sys.version_info[:2] <= (3, 13)))"

rem Of a symbolic link %~dp0 is the link's own folder; nothing here can tell where it leads.
if not exist "%HERE%engine\install" (
    echo launch.bat has to stay in Headroom's folder: use a shortcut instead of a link or a copy. 1>&2
    set CODE=5
    goto failed
)

set "FOUND="
for %%V in (3.12 3.13 3.11) do if not defined FOUND call :try py -%%V
if not defined FOUND call :try python
if not defined FOUND call :try python3
if defined FOUND goto found
echo Headroom needs Python 3.11, 3.12 or 3.13 (64-bit); none was found. 1>&2
echo Install one from https://www.python.org/downloads/windows/ and start this again. 1>&2
set CODE=5
goto failed

:try
rem Windows' own python.exe, which only opens the Store, fails here like a Python that is too old.
%* -c "%CHECK%" >nul 2>nul
if not errorlevel 1 set "FOUND=%*"
goto :eof

:found
rem %* stays as it was typed: a prompt with quotes and & in it goes through untouched.
%FOUND% "%HERE%engine\install" %*
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
for %%O in (setup --cpu --gpu --repair --dry-run) do if "%~1"=="%%O" exit /b 0
if "%~1"=="test" goto test
if "%~1"=="check" if "%~2"=="" goto check
"%VENV_PYTHON%" "%HERE%app.py" %*
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
exit /b 0

:test
cd /d "%HERE%"
rem The word "test" is in %* too, which shift doesn't change: Python drops it. Two processes, as most
rem tests wait for another one.
"%VENV_PYTHON%" -c "import pytest, sys; sys.exit(pytest.main(['-n', '2', '--dist', 'loadfile', *sys.argv[2:]]))" %*
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
exit /b 0

:check
cd /d "%HERE%"
"%VENV_PYTHON%" -m tests.tools.check
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
exit /b 0

:failed
rem Opened by a double click, the window would close before anybody could read the reason: then cmd
rem was started with /c. Only delayed expansion leaves alone what a folder's name may have in it.
if defined CI exit /b %CODE%
setlocal EnableDelayedExpansion
set "STARTED=!CMDCMDLINE!"
set STARTED | find /i " /c " >nul
if not errorlevel 1 pause
endlocal & exit /b %CODE%
