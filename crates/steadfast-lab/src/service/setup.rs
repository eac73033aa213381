//! Everything that is needed to start an instance, with the values of all placeholders.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use steadfast_faults::scenario::model::{
    Program, RestartPolicy, Service, StopPolicy, WorkingDirectory,
};
use steadfast_faults::topology::Instance;

use super::places::Places;
use super::probe::Probe;
use super::programs::find;
use crate::error::LabError;

/// How programs are found and started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    /// The program of `builtin:gateway`.
    pub(crate) gateway: &'a Path,
    /// This project's own program: starts processes that are killed when the lab terminates.
    pub(crate) launcher: Option<&'a Path>,
    /// The directories in which programs are searched for.
    pub(crate) search: &'a [PathBuf],
}

/// The program, its settings and its place.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSetup {
    pub(crate) instance: Instance,
    /// The program and its arguments.
    pub(super) command: Vec<OsString>,
    /// Kills the process when the lab terminates; without a launcher the process is started directly.
    pub(super) launcher: Option<PathBuf>,
    pub(super) env: Vec<(String, String)>,
    /// Written before the first start: name and text.
    pub(super) files: Vec<(String, String)>,
    /// The directory in which the program is started; `None`: that of the lab.
    pub(super) directory: Option<PathBuf>,
    /// Directory of its files and its log.
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    pub(super) ready: Probe,
    pub(super) leader: Option<Probe>,
    pub(super) restart: RestartPolicy,
    pub(super) stop: StopPolicy,
    pub(super) url: String,
    /// The file in which it logs its effects.
    pub(super) effects: Option<PathBuf>,
}

impl ServiceSetup {
    /// The name in messages, for example `gateway:1`.
    pub(super) fn name(&self) -> String {
        self.instance.to_string()
    }

    /// The command as it is shown.
    pub(super) fn shown(&self) -> String {
        let words: Vec<_> = self.command.iter().map(|it| it.to_string_lossy()).collect();
        words.join(" ")
    }
}

/// The setup of an instance of a service.
pub(crate) fn setup(
    service: &Service,
    instance: &Instance,
    places: &Places,
    launch: Launch<'_>,
) -> Result<ServiceSetup, LabError> {
    let id = instance.id;
    let enter = places.enter(id).into_iter().map(OsString::from);
    let mut command: Vec<OsString> = enter.collect();
    command.push(program(service, instance, places, launch)?);
    let mut args = places.texts(id, &service.args)?;
    if instance.number > 1 {
        args.extend(places.texts(id, &service.args_of_others)?);
    }
    command.extend(args.into_iter().map(OsString::from));
    let named = |texts: &[(String, _)]| -> Result<Vec<(String, String)>, LabError> {
        let resolved = texts
            .iter()
            .map(|(name, text)| Ok((name.clone(), places.text(id, text)?)));
        resolved.collect()
    };
    let folder = places.folder(id);
    let url = service
        .url
        .as_ref()
        .map(|it| places.text(id, it))
        .transpose()?;
    let effects = service.effects.as_ref().map(|it| places.text(id, it));
    let effects = effects.transpose()?.map(|path| match service.directory {
        WorkingDirectory::Lab => PathBuf::from(path),
        WorkingDirectory::Instance => folder.join(path),
    });
    let leader = service.leader.as_ref().map(|it| Probe::new(it, id, places));
    Ok(ServiceSetup {
        instance: instance.clone(),
        command,
        launcher: launch.launcher.map(Path::to_owned),
        env: named(&service.env)?,
        files: named(&service.files)?,
        directory: match service.directory {
            WorkingDirectory::Lab => None,
            WorkingDirectory::Instance => Some(folder.clone()),
        },
        data: places.data(id),
        folder,
        ready: Probe::new(&service.ready, id, places)?,
        leader: leader.transpose()?,
        restart: service.restart,
        stop: service.stop,
        url: url.unwrap_or_default(),
        effects,
    })
}

fn program(
    service: &Service,
    instance: &Instance,
    places: &Places,
    launch: Launch<'_>,
) -> Result<OsString, LabError> {
    match &service.program {
        Program::Gateway => Ok(launch.gateway.into()),
        // Without a launcher, the gateway is this project's program too.
        Program::Steadfast => Ok(launch.launcher.unwrap_or(launch.gateway).into()),
        Program::Command { cmd, package } => {
            let cmd = places.text(instance.id, cmd)?;
            let found = find(&cmd, launch.search);
            found
                .map(OsString::from)
                .ok_or_else(|| LabError::ProgramMissing {
                    service: service.name.clone(),
                    program: cmd,
                    package: package.map(|it| it.name),
                })
        }
    }
}
