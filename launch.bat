@echo off
rem Sets up what is missing, then: no argument opens the page; "setup" stops there; "test" runs the
rem tests; anything else goes to app.py.
setlocal
set "HERE=%~dp0"
set "VENV_PYTHON=%HERE%.venv\Scripts\python.exe"
set "CHECK=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"

set "FOUND="
py -3.12 -c "%CHECK%" >nul 2>nul
if not errorlevel 1 set "FOUND=py -3.12"
if defined FOUND goto found
py -3.13 -c "%CHECK%" >nul 2>nul
if not errorlevel 1 set "FOUND=py -3.13"
if defined FOUND goto found
py -3.11 -c "%CHECK%" >nul 2>nul
if not errorlevel 1 set "FOUND=py -3.11"
if defined FOUND goto found
python -c "%CHECK%" >nul 2>nul
if not errorlevel 1 set "FOUND=python"
if defined FOUND goto found
echo Headroom needs Python 3.11, 3.12 or 3.13, and found none.
echo Install one from python.org, then start this again.
set CODE=5
goto failed

:found
if "%~1"=="setup" goto setup
if "%~1"=="test" goto test
%FOUND% "%HERE%engine\install.py"
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
"%VENV_PYTHON%" "%HERE%app.py" %*
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
exit /b 0

:setup
%FOUND% "%HERE%engine\install.py"
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
exit /b 0

:test
%FOUND% "%HERE%engine\install.py" --tests
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
cd /d "%HERE%"
"%VENV_PYTHON%" -m pytest %2 %3 %4 %5 %6 %7 %8 %9
set CODE=%errorlevel%
if not "%CODE%"=="0" goto failed
exit /b 0

:failed
rem Opened by a double click, the window would close before anybody could read the reason.
echo %CMDCMDLINE% | find /i "/c" >nul
if not errorlevel 1 if not defined CI pause
exit /b %CODE%
